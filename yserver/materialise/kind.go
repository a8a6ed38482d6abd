package materialise

import "fmt"

// Kind is a kind of Yjs type. Nested types have theirs in their encoding, by these very numbers (typeRefs in Yjs); that of
// a root is not stored anywhere: it is what an application says it is.
type Kind uint8

// The kinds. An element, a hook and a fragment are Y.XmlElement, Y.XmlHook and Y.XmlFragment.
const (
	Array    Kind = 0
	Map      Kind = 1
	Text     Kind = 2
	Element  Kind = 3
	Fragment Kind = 4
	Hook     Kind = 5
	XMLText  Kind = 6
	// Unknown asks for the kind that the content tells.
	Unknown Kind = 255
)

var kindNames = [...]string{"array", "map", "text", "element", "xml", "hook", "xmltext"}

// String returns the name of the kind in the API: array, map, text, element, xml (a fragment), hook, xmltext.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	if k == Unknown {
		return "unknown"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// ParseKind returns the kind with the given name, and Unknown for the empty name.
func ParseKind(name string) (Kind, error) {
	if name == "" {
		return Unknown, nil
	}
	for i, n := range kindNames {
		if n == name {
			return Kind(i), nil
		}
	}
	return Unknown, fmt.Errorf("kind %q: %w", name, ErrValue)
}

// lists reports whether types of the kind have a list at all.
func (k Kind) lists() bool { return k != Map && k != Hook }

// isText reports whether lists of the kind hold text with formats.
func (k Kind) isText() bool { return k == Text || k == XMLText }

// isXML reports whether types of the kind are rendered as XML.
func (k Kind) isXML() bool { return k == Element || k == Fragment || k == XMLText }
