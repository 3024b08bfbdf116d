"""One module for each revision, named by its number. A revision that was released is not changed any more."""
