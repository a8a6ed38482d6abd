package masking_test

import (
	"fmt"

	"github.com/yserverd/yserverd/yserver/masking"
)

func Example() {
	table, err := masking.New(masking.Config{
		Fields: []string{"id", "email", "api_key"},
		Masks:  map[string]masking.Mask{"email": {Type: masking.Email, Roles: []string{"admin"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	row := []masking.Field{
		{Name: "id", JSON: []byte(`7`), Key: true},
		{Name: "email", JSON: []byte(`"paul@example.com"`)},
		{Name: "api_key", JSON: []byte(`"k-123"`)},
		{Name: "salary", JSON: []byte(`100`)},
	}
	for _, roles := range [][]string{{"member"}, {"admin"}} {
		text, err := table.AppendRow(nil, row, table.ClearFor(roles), false)
		fmt.Println(string(text), err)
	}
	// Output:
	// {"id":7,"email":"p***@e******.com","api_key":"[REDACTED]"} <nil>
	// {"id":7,"email":"paul@example.com","api_key":"[REDACTED]"} <nil>
}
