package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a file, far above any real one: aliases let a few lines stand for a great many values.
const (
	maxDepth  = 32
	maxValues = 100_000
)

// Scalar is a value as it stands in the file or in the environment. Its fields are exported because koanf copies values
// by reflection.
type Scalar struct {
	Text    string
	Tag     string // what YAML takes the text for: !!str, !!int, !!bool, !!float, !!null
	Foreign bool   // part of it came from the environment: it has no type of its own, and may be a secret
}

// parser is a loader as a parser of koanf. It keeps the lines that koanf would lose, and replaces ${NAME}.
type parser loader

// Marshal is not supported.
func (p *parser) Marshal(map[string]any) ([]byte, error) {
	return nil, errors.New("a configuration is not written")
}

var (
	// yamlLine is how the YAML reader names the line of a syntax error.
	yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	// yamlAnchor is how it names an alias of nothing, for which it gives no line.
	yamlAnchor = regexp.MustCompile(`^unknown anchor '(.+)' referenced$`)
)

// yamlError returns the line and the message of a syntax error. The reader names no line when it is the first one, and
// counts from 0 for one kind of errors, whose place it only knows roughly.
func yamlError(said, text string) (line int, message string) {
	message = said
	if m := yamlLine.FindStringSubmatch(said); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = said[len(m[0]):]
	}
	lines := strings.Split(text, "\n")
	if m := yamlAnchor.FindStringSubmatch(message); m != nil {
		line = 1 + slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "*"+m[1]) })
	} else if strings.HasPrefix(message, "did not find expected") {
		line++
		message = "near here, " + message
	}
	line = min(max(line, 1), len(lines))
	for _, l := range lines[max(line-2, 0):line] {
		if strings.Contains(l, "${") {
			return line, "no YAML: " + message + "; inside {} and [] a reference is quoted: \"${NAME}\""
		}
	}
	return line, "no YAML: " + message
}

// Unmarshal reads the one mapping of a file. Values are Scalars, []any and map[string]any. An error is one of syntax,
// reported already; any other mistake is reported and read over.
func (p *parser) Unmarshal(text []byte) (map[string]any, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return map[string]any{}, nil // nothing but comments
	}
	if err == nil {
		var more yaml.Node
		if err = decoder.Decode(&more); err == nil {
			return nil, p.syntax(more.Line, "a configuration is one YAML document, this is a second one")
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		line, message := yamlError(err.Error(), string(text))
		return nil, p.syntax(line, message)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return map[string]any{}, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, p.syntax(root.Line, "a configuration is a mapping of keys to values")
	}
	reader := nodeReader{p: p}
	m, _ := reader.value(root, nil, 0).(map[string]any)
	return m, reader.err
}

// syntax reports an error after which nothing can be read.
func (p *parser) syntax(line int, message string) error {
	p.problems = append(p.problems, Problem{File: p.file, Line: line, Message: message})
	return errors.New(message)
}

// fail reports a mistake at a line.
func (p *parser) fail(at path, line int, message string) {
	p.problems = append(p.problems, Problem{File: p.file, Line: line, Key: at.String(), Message: message})
}

// nodeReader turns the nodes of a file into values.
type nodeReader struct {
	p      *parser
	values int
	err    error // the file passes a bound
}

// enter counts a node and reports whether it is within the bounds.
func (r *nodeReader) enter(n *yaml.Node, depth int) bool {
	if r.values++; r.err == nil && (r.values > maxValues || depth > maxDepth) {
		r.err = r.p.syntax(n.Line, "nested too deep, or too many values")
	}
	return r.err == nil
}

// value returns what a node says and notes the lines of the keys in it.
func (r *nodeReader) value(n *yaml.Node, at path, depth int) any {
	if !r.enter(n, depth) {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.value(n.Alias, at, depth+1)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			step := at.at("[" + strconv.Itoa(i) + "]")
			r.p.lines[step.join()] = item.Line
			list = append(list, r.value(item, step, depth+1))
		}
		return list
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		r.mapping(n, at, depth, m)
		return m
	default:
		return r.scalar(n, at)
	}
}

// mapping adds the entries of a mapping to m. Merged mappings ("<<") fill in what the mapping itself does not say.
func (r *nodeReader) mapping(n *yaml.Node, at path, depth int, m map[string]any) {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			r.p.fail(at, key.Line, "a key is a plain word")
			continue
		}
		if key.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		step := at.at(key.Value)
		if _, twice := m[key.Value]; twice {
			r.p.fail(step, key.Line, fmt.Sprintf("a second time, first in line %d", r.p.lines[step.join()]))
			continue
		}
		r.p.lines[step.join()] = key.Line
		m[key.Value] = r.value(value, step, depth+1)
	}
	for _, value := range merged {
		r.merge(value, at, depth, m)
	}
}

// merge adds the entries of a merged mapping, or of a list of them, that m does not have.
func (r *nodeReader) merge(n *yaml.Node, at path, depth int, m map[string]any) {
	if !r.enter(n, depth) {
		return
	}
	if n.Kind == yaml.AliasNode {
		r.merge(n.Alias, at, depth+1, m)
		return
	}
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			r.merge(item, at, depth+1, m)
		}
		return
	}
	if n.Kind != yaml.MappingNode {
		r.p.fail(at, n.Line, `"<<" merges a mapping`)
		return
	}
	more := make(map[string]any)
	for i := 0; i+1 < len(n.Content); i += 2 { // leave out what would look like a repetition
		if _, ok := m[n.Content[i].Value]; !ok {
			r.mapping(&yaml.Node{Kind: yaml.MappingNode, Content: n.Content[i : i+2]}, at, depth+1, more)
		}
	}
	for key, value := range more {
		m[key] = value
	}
}

// reference is ${NAME} or ${NAME:-default}.
var reference = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}`)

// scalar returns a scalar with its references replaced.
func (r *nodeReader) scalar(n *yaml.Node, at path) any {
	s := Scalar{Text: n.Value, Tag: n.ShortTag()}
	if !strings.Contains(s.Text, "${") {
		return s
	}
	s.Foreign = true
	s.Text = reference.ReplaceAllStringFunc(s.Text, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		value, set := r.p.environ[m[1]]
		r.p.foreign = append(r.p.foreign, value)
		switch {
		case value != "" || set && !strings.Contains(ref, ":-"):
			return value
		case !strings.Contains(ref, ":-"):
			(*loader)(r.p).reject(at, "the environment variable "+m[1]+" is not set; ${"+m[1]+":-value} gives it a default")
		}
		return m[2]
	})
	if rest := reference.ReplaceAllString(n.Value, ""); strings.Contains(rest, "${") {
		(*loader)(r.p).reject(at, "a reference is written ${NAME} or ${NAME:-default}")
	}
	return s
}
