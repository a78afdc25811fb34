"""Small models of sequences: trained ones, those written down head by head, and random attention as their negatives."""
