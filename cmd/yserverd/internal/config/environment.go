package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
)

// variablePrefix begins the name of every environment variable that sets a key.
const variablePrefix = "YSERVERD_"

// kubernetes matches the variables that a pod gets for services whose names begin with yserverd.
var kubernetes = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_.+)?)?)$`)

// environment are variables by name.
type environment map[string]string

// newEnvironment reads what os.Environ returns; of variables that are there twice the last one counts.
func newEnvironment(environ []string) environment {
	e := make(environment, len(environ))
	for _, s := range environ {
		if name, value, ok := strings.Cut(s, "="); ok && name != "" {
			e[name] = value
		}
	}
	return e
}

// environmentProvider is the layer of YSERVERD_ variables, over the keys of a file. A variable
// that stands for no key is left alone, since others are named so too; one that looks like a mistyped key is warned of.
func (l *loader) environmentProvider(file *koanf.Koanf) *env.Env {
	keys := variables(file.MapKeys("rooms"))
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	return env.Provider(delim, env.Opt{
		Prefix:      variablePrefix,
		EnvironFunc: l.environ.list,
		TransformFunc: func(name, value string) (string, any) {
			paths := keys[name]
			if len(paths) == 0 {
				l.unknownVariable(name, names)
				return "", nil
			}
			if len(paths) > 1 {
				l.problems = append(l.problems, Problem{
					File: name, Message: "stands for both " + paths[0].String() + " and " + paths[1].String(),
				})
				return "", nil
			}
			if was, ok := file.Get(paths[0].join()).(Scalar); ok && was.Text != "" && value == "" && slices.Contains(restricting, paths[0].String()) {
				l.problems = append(l.problems, Problem{
					File: name, Message: "is empty, and would take back what the file asks of callers: unset it, or take " + paths[0].String() + " out of the file",
				})
				return "", nil
			}
			l.variables[paths[0].join()] = name
			l.foreign = append(l.foreign, value)
			return paths[0].join(), Scalar{Text: value, Foreign: true}
		},
	})
}

// others are variables with the prefix that are of commands, not of keys.
var others = []string{"YSERVERD_ADMIN_TOKEN"}

// restricting are keys without which more callers are believed than with them.
var restricting = []string{"auth.jwt.issuer", "auth.jwt.audience", "auth.pinned_org"}

// unknownVariable refuses a variable of a key that this version does not act on, and warns of a mistyped one.
func (l *loader) unknownVariable(name string, known []string) {
	if kubernetes.MatchString(name) || slices.Contains(others, name) {
		return
	}
	for _, key := range later {
		before, after, _ := strings.Cut(variableName(strings.Split(key, ".")), "*")
		rest, found := strings.CutPrefix(name+"_", before)
		if found && (after == "" && strings.HasPrefix(rest, "_") || after != "" && strings.Contains(rest, after+"_")) {
			l.problems = append(l.problems, Problem{File: name, Message: notYet})
			return
		}
	}
	if strings.HasPrefix(name, variablePrefix+"ROOMS_") {
		l.warnings = append(l.warnings, Problem{File: name, Message: "no room of the file has this key"})
		return
	}
	for _, k := range known {
		if distance(name, k) <= 2 {
			l.warnings = append(l.warnings, Problem{File: name, Message: "no key has this variable: did you mean " + k + "?"})
			return
		}
	}
}

// variables returns the paths that each variable's name can stand for: one, unless two bindings have like names.
func variables(bindings []string) map[string][]path {
	keys := make(map[string][]path)
	for _, leaf := range leaves(configType, nil) {
		if len(leaf) < 2 || leaf[1] != "*" {
			name := variableName(leaf)
			keys[name] = append(keys[name], leaf)
			continue
		}
		for _, binding := range bindings {
			p := append(path{leaf[0], binding}, leaf[2:]...)
			name := variableName(p)
			keys[name] = append(keys[name], p)
		}
	}
	return keys
}

// variableName returns the name of the variable that sets a key: upper case, "_" for what names cannot hold.
func variableName(p path) string {
	return variablePrefix + strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '*':
			return c
		}
		return '_'
	}, strings.Join(p, "_"))
}

// list returns the variables as os.Environ does.
func (e environment) list() []string {
	list := make([]string, 0, len(e))
	for name, value := range e {
		list = append(list, name+"="+value)
	}
	return list
}
