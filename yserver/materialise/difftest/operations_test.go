package difftest_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/yserverd/yserverd/yserver/materialise"
)

// operation is one edit as fixtures/yjs/lib/serveredits.mjs describes it.
type operation struct {
	Op         string
	Root       string
	Kind       string
	Path       []any
	Index      uint64
	Length     uint64
	Text       string
	Attributes materialise.Attributes
	Embed      any
	Key        string
	Value      any
	Values     []any
}

// applyOperations makes the operations in one edit.
func applyOperations(ctx context.Context, state, text []byte) ([]byte, error) {
	var list []operation
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	return materialise.Edit(ctx, state, materialise.EditOptions{}, func(tx *materialise.Tx) error {
		for i, op := range list {
			if err := op.apply(tx); err != nil {
				return fmt.Errorf("%d %s: %w", i, op.Op, err)
			}
		}
		return nil
	})
}

func (op *operation) apply(tx *materialise.Tx) error {
	kind, err := materialise.ParseKind(op.Kind)
	if err != nil {
		return err
	}
	at := materialise.At(op.Root).As(kind)
	for _, step := range op.Path {
		if n, ok := step.(float64); ok {
			step = int(n)
		}
		at.Steps = append(at.Steps, step)
	}
	switch op.Op {
	case "text.insert":
		return tx.TextInsert(at, op.Index, op.Text, op.Attributes)
	case "text.delete":
		return tx.TextDelete(at, op.Index, op.Length)
	case "text.format":
		return tx.TextFormat(at, op.Index, op.Length, op.Attributes)
	case "text.embed":
		return tx.TextEmbed(at, op.Index, value(op.Embed), op.Attributes)
	case "array.insert":
		return tx.ArrayInsert(at, op.Index, valuesOf(op.Values)...)
	case "array.delete":
		return tx.ArrayDelete(at, op.Index, op.Length)
	case "xml.insert":
		var nodes []materialise.New
		for _, v := range valuesOf(op.Values) {
			nodes = append(nodes, v.(materialise.New))
		}
		return tx.XMLInsert(at, op.Index, nodes...)
	case "xml.delete":
		return tx.XMLDelete(at, op.Index, op.Length)
	case "map.set":
		return tx.MapSet(at, op.Key, value(op.Value))
	case "map.delete":
		return tx.MapDelete(at, op.Key)
	}
	return fmt.Errorf("operation %q", op.Op)
}

func valuesOf(list []any) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = value(v)
	}
	return out
}

// value turns {$type} into a new type.
func value(v any) any {
	m, ok := v.(map[string]any)
	if !ok || m["$type"] == nil {
		return v
	}
	kind, err := materialise.ParseKind(m["$type"].(string))
	if err != nil {
		panic(err)
	}
	n := materialise.New{Kind: kind}
	n.Name, _ = m["name"].(string)
	if items, ok := m["items"].([]any); ok {
		n.Items = valuesOf(items)
	}
	if entries, ok := m["entries"].(map[string]any); ok {
		n.Entries = make(map[string]any)
		for k, e := range entries {
			n.Entries[k] = value(e)
		}
	}
	runs, _ := m["runs"].([]any)
	for _, r := range runs {
		r := r.(map[string]any)
		attrs, _ := r["attributes"].(map[string]any)
		n.Runs = append(n.Runs, materialise.Run{Insert: value(r["insert"]), Attributes: attrs})
	}
	return n
}
