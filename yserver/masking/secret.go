package masking

import "strings"

// secrets are the ends of names of columns that hold what lets somebody in,
// lower case, without separators.
var secrets = []string{
	"password", "passwd", "pwd", "passphrase", "passcode", "passwordhash", "passwordsalt", "hashedpassword",
	"token", "tokenhash", "secret", "secrethash", "clientsecret",
	"apikey", "apikeyhash", "privatekey", "secretkey", "accesskey", "signingkey", "encryptionkey", "masterkey",
	"credential", "backupcode", "recoverycode",
}

// LooksSecret reports whether a column is named like a secret: password, token,
// secret, apikey, privatekey and their kind, also at the end of a longer name, in
// any case and with any separators, in the plural or with a number.
func LooksSecret(column string) bool {
	name := strings.Map(func(c rune) rune {
		switch c {
		case '_', '-', ' ', '.':
			return -1
		}
		return c
	}, strings.ToLower(column))
	name = strings.TrimRight(name, "0123456789")
	singular := strings.TrimSuffix(name, "s")
	for _, s := range secrets {
		if strings.HasSuffix(name, s) || strings.HasSuffix(singular, s) {
			return true
		}
	}
	return false
}
