package admin_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/admin"
)

// Example asks for the figures of a server.
func Example() {
	api, err := admin.New(admin.Config{
		Path:   "/admin",
		Tokens: []admin.Token{{Name: "monitoring", SHA256: sha256.Sum256([]byte("a-token"))}},
		Stats:  func() admin.Stats { return admin.Stats{Connections: 3} },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer api.Close()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/admin/v1/stats", nil)
	api.ServeHTTP(w, r)
	fmt.Println(w.Code)
	w = httptest.NewRecorder()
	r.Header.Set("Authorization", "Bearer a-token")
	api.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output:
	// 401
	// 200
}
