package erase

// SecureDelete is for tests.
var SecureDelete = secureDelete
