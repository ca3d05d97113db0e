"""Results judged against annotations; no network takes part."""
