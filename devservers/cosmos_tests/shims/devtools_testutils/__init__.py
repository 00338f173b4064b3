"""What the tests import from a package of Microsoft's that is in no index: two names in two modules."""
