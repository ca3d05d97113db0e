"""The network: ResNet, FPN, RPN and the heads, and `build` which makes them from settings."""
