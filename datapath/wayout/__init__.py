"""What leaves a host with a shared address in it, whichever engine decides on what comes in."""
