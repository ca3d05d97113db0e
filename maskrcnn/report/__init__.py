"""What comes out: counts, pictures and files made of `Instances`; nothing here knows of networks."""
