package config

import (
	"net/url"
	"strings"
)

// CheckStoreURL returns what is wrong with the URL of a store, or "". It repeats nothing of it: it may hold a password,
// and of one that is no URL nobody knows which part that is.
func CheckStoreURL(text string) string {
	return checkPostgresURL(text, "nothing for the embedded store in data_dir")
}

// checkPostgresURL is CheckStoreURL for any database; without says what an empty text stands for.
func checkPostgresURL(text, without string) string {
	if text == "" {
		return ""
	}
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return "want postgres://user:password@host:port/database, or " + without
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "is no URL: in a password everything but letters, digits and -._~ is percent-encoded, / as %2F and @ as %40"
	case u.Host == "" && u.Query().Get("host") == "":
		return "lacks a host: want postgres://user:password@host:port/database"
	case strings.Trim(u.Path, "/") == "" && u.Query().Get("dbname") == "":
		return "lacks a database: want postgres://user:password@host:port/database"
	case u.Query().Has("password") || u.Query().Has("sslpassword"):
		return "has a password behind the ?: it belongs in front of the host, user:password@host, where it is never shown"
	}
	return ""
}

// RedactURL returns the URL of a store for people: without its password and without what stands behind it.
func RedactURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "(a URL that is not shown)"
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	return shown.String()
}

// validateStore checks where documents, snapshots and versions are kept, and for how long.
func (l *loader) validateStore(c *Config) {
	if wrong := CheckStoreURL(c.Store.URL); wrong != "" {
		l.fail(path{"store", "url"}, wrong)
	}
	l.positive(path{"store", "max_connections"}, int64(c.Store.MaxConnections))
	snapshots := path{"snapshots"}
	l.positive(snapshots.at("every_updates"), int64(c.Snapshots.EveryUpdates))
	l.positive(snapshots.at("every_bytes"), int64(c.Snapshots.EveryBytes))
	l.positive(snapshots.at("keep_versions").at("max"), int64(c.Snapshots.KeepVersions.Max))
	l.positive(snapshots.at("keep_superseded"), int64(c.Snapshots.KeepSuperseded))
	l.positive(path{"delete", "retention"}, int64(c.Delete.Retention))
	l.validateS3(snapshots.at("s3"), &c.Snapshots.S3)
}

// validateS3 checks a bucket as far as that is possible without asking it.
func (l *loader) validateS3(at path, s *S3) {
	switch {
	case s.Endpoint == "":
		for key, value := range map[string]string{"bucket": s.Bucket, "prefix": s.Prefix, "access_key": s.AccessKey, "secret_key": s.SecretKey} {
			if value != "" {
				l.fail(at.at("endpoint"), "is missing, but "+key+" is there: want the host of the S3 server, with its port")
				break
			}
		}
		return
	case strings.ContainsAny(s.Endpoint, "/@?# "):
		l.fail(at.at("endpoint"), "want a host, or host:port, such as s3.eu-central-1.amazonaws.com; http:// is tls: false, a path is prefix")
	}
	if !bucketName(s.Bucket) {
		l.fail(at.at("bucket"), "want the name of a bucket: 3 to 63 small letters, digits, dots and hyphens")
	}
	if s.Region == "" {
		l.fail(at.at("region"), "want a region; servers without regions take us-east-1")
	}
	if prefix := strings.Trim(s.Prefix, "/"); prefix != "" && !plainPath(prefix) {
		l.fail(at.at("prefix"), "want path segments such as yserverd or team/documents")
	}
	if (s.AccessKey == "") != (s.SecretKey == "") {
		key := "secret_key"
		if s.AccessKey == "" {
			key = "access_key"
		}
		l.fail(at.at(key), "is missing: both keys or none (then those of the environment, the machine or the pod)")
	}
}

// bucketName reports whether S3 takes a name for a bucket, roughly.
func bucketName(s string) bool {
	odd := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' }
	return len(s) >= 3 && len(s) <= 63 && strings.IndexFunc(s, odd) < 0
}
