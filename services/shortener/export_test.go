package shortener

// RunWith is Run with sources whose APIs a test made.
var RunWith = run
