"""Pictures over HTTP: an interface for programs, and a page on which a person corrects what was found."""
