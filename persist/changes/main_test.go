package changes_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/yserverd/yserverd/internal/pgtest"
)

func TestMain(m *testing.M) {
	// The fault proxy's links stay in a write when they are disturbed at the wrong moment; pgx cancels what it gave up in
	// the background, for as long as the line is dead.
	const proxy, pgconn = "github.com/Shopify/toxiproxy/v2", "github.com/jackc/pgx/v5/pgconn"
	goleak.VerifyTestMain(pgtest.Main(m),
		goleak.IgnoreAnyFunction(proxy+"/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).read"),
		goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).write"),
		goleak.IgnoreAnyFunction(pgconn+".(*PgConn).asyncClose.func1"))
}
