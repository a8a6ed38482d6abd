package admin

// Network is what of an address is counted as one client.
var Network = network
