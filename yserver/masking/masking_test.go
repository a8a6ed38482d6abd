package masking_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/yserver/masking"
)

// The expected texts follow the table of the specification by hand.
func TestGolden(t *testing.T) {
	for _, row := range []struct {
		mask     masking.Type
		in, want string
	}{
		{masking.Email, "paul@example.com", "p***@e******.com"},
		{masking.Email, "a@b.c", "a*@b*.c"},
		{masking.Email, "ann@mail.example.co.uk", "a**@m***.example.co.uk"},
		{masking.Email, "ann@localhost", "a**@l********"},
		{masking.Email, "änne@müller.de", "ä***@m*****.de"},
		{masking.Email, "a@b.com, bob@c.com", "a***********@c*.com"},
		{masking.Email, "no address", masking.Redacted},
		{masking.Email, "@example.com", masking.Redacted},
		{masking.Email, "ann@", masking.Redacted},
		{masking.Email, "ann@.com", masking.Redacted},
		{masking.Email, "ann@example.com and a long story", masking.Redacted},
		{masking.Email, "a***@b***.com", masking.Redacted},
		{masking.Email, "", masking.Redacted},
		{masking.Phone, "+1 (555) 123-4567", "*******4567"},
		{masking.Phone, "12345678", "****5678"},
		{masking.Phone, "1234567", "*******"},
		{masking.Phone, "unknown", masking.Redacted},
		{masking.SSN, "123-45-6789", "*****6789"},
		{masking.CreditCard, "4111 1111 1111 1234", "************1234"},
		{masking.CreditCard, "", masking.Redacted},
		{masking.Name, "Jane Doe", "J*** D**"},
		{masking.Name, " Élodie  de la Cruz ", "É***** d* l* C***"},
		{masking.Name, "X", "X*"},
		{masking.Name, "J*** D**", masking.Redacted},
		{masking.Name, "  ", masking.Redacted},
		{masking.Redact, "anything", masking.Redacted},
		{masking.Redact, "", masking.Redacted},
		{masking.None, "anything", "anything"},
		{masking.Type("later"), "anything", masking.Redacted},
	} {
		t.Run(string(row.mask)+" "+row.in, func(t *testing.T) {
			require.Equal(t, row.want, row.mask.Text(row.in))
		})
	}
}

func TestLooksSecret(t *testing.T) {
	for _, name := range []string{
		"password", "Password", "user_password", "passwordHash", "token", "accessToken", "refresh_tokens", "secret", "client-secret",
		"apikey", "api_key", "stripeApiKey", "privatekey", "PRIVATE_KEY", "token2", "backup_codes",
	} {
		require.True(t, masking.LooksSecret(name), name)
	}
	for _, name := range []string{"id", "title", "tokenised", "secretary", "key", "author", "passage", "password_changed_at"} {
		require.False(t, masking.LooksSecret(name), name)
	}
}

func table(t require.TestingT, c masking.Config) *masking.Table {
	tab, err := masking.New(c)
	require.NoError(t, err)
	return tab
}

func encode(t require.TestingT, tab *masking.Table, clear masking.Clear, fields ...masking.Field) string {
	text, err := tab.AppendRow(nil, fields, clear, false)
	require.NoError(t, err)
	return string(text)
}

func field(name, value string) masking.Field { return masking.Field{Name: name, JSON: []byte(value)} }

func TestProjection(t *testing.T) {
	tab := table(t, masking.Config{Fields: []string{"id", "title"}})
	require.Equal(t, `{"id":1}`, encode(t, tab, 0, field("id", "1"), field("salary", "2"), masking.Field{Name: "title"}))
	require.Equal(t, `{}`, encode(t, table(t, masking.Config{Fields: []string{}}), 0, field("id", "1")))
	require.Equal(t, `{"id":1,"x":[1,"a"],"Token":"[REDACTED]"}`,
		encode(t, table(t, masking.Config{}), 0, field("id", "1"), field("x", `[1,"a"]`), field("Token", `"t"`)))
	keys, err := tab.AppendRow(nil, []masking.Field{{Name: "id", JSON: []byte("1"), Key: true}, field("title", `"x"`)}, 0, true)
	require.NoError(t, err)
	require.Equal(t, `{"id":1}`, string(keys))
}

func TestMasksFailClosed(t *testing.T) {
	tab := table(t, masking.Config{
		Fields: []string{"phone", "Phone", "secret", "open_secret", "token"},
		Masks: map[string]masking.Mask{
			"phone": {Type: masking.Phone}, "open_secret": {Type: masking.None}, "token": {Type: masking.Name, Roles: []string{"admin"}},
		},
	})
	require.Zero(t, tab.ClearFor([]string{"admin"}), "a secret is shown to nobody")
	for in, want := range map[string]string{
		"null": "null", "5551234567": `"[REDACTED]"`, "true": `"[REDACTED]"`, `{"a":"12345678"}`: `"[REDACTED]"`, `"12345678"`: `"****5678"`,
	} {
		require.Equal(t, `{"phone":`+want+`}`, encode(t, tab, ^masking.Clear(0), field("phone", in)))
	}
	require.Equal(t, `{"Phone":"****5678"}`, encode(t, tab, 0, field("Phone", `"12345678"`)))
	require.Equal(t, `{"secret":null,"open_secret":"x","token":"[REDACTED]"}`,
		encode(t, tab, ^masking.Clear(0), field("secret", "null"), field("open_secret", `"x"`), field("token", `"Jane Doe"`)))
	for _, bad := range []string{"", "{", `"`, "1 2", "\"\xff\""} {
		_, err := tab.AppendRow(nil, []masking.Field{field("open_secret", bad)}, 0, false)
		require.Error(t, err, "%q", bad)
	}
}

func TestClear(t *testing.T) {
	tab := table(t, masking.Config{
		Fields: []string{"email", "name"}, Owner: "owner_id",
		Masks: map[string]masking.Mask{
			"email": {Type: masking.Email, Roles: []string{"admin", "owner"}, Owner: true},
			"name":  {Type: masking.Name, Roles: []string{"admin"}},
			"phone": {Type: masking.Phone, Roles: []string{"clerk"}}, // not shown at all
		},
	})
	require.Zero(t, tab.ClearFor(nil))
	require.Zero(t, tab.ClearFor([]string{"member", "clerk"}), "a column that is not shown makes no audience")
	require.Equal(t, tab.ClearForOwner(), tab.ClearFor([]string{"owner"}))
	require.NotEqual(t, tab.ClearForOwner(), tab.ClearFor([]string{"admin"}))
	row := []masking.Field{field("email", `"a@b.c"`), field("name", `"Jo"`), field("owner_id", `"ann"`)}
	require.Equal(t, `{"email":"a@b.c","name":"J*"}`, encode(t, tab, tab.ClearForOwner(), row...))
	require.Equal(t, `{"email":"a@b.c","name":"Jo"}`, encode(t, tab, tab.ClearFor([]string{"admin"}), row...))
	require.Equal(t, "ann", tab.Owner(row))
	for in, want := range map[string]string{"7": "7", "null": "", "true": "", `["ann"]`: "", `"a\u006en"`: "ann"} {
		require.Equal(t, want, tab.Owner([]masking.Field{field("owner_id", in)}))
	}
	require.Empty(t, tab.Owner([]masking.Field{{Name: "owner_id"}}))
	roles := []string{"admin"}
	require.Zero(t, testing.AllocsPerRun(100, func() { tab.ClearFor(roles) }))
}

func TestConfigErrors(t *testing.T) {
	for want, c := range map[string]masking.Config{
		`"email": unknown mask "mail"`: {Masks: map[string]masking.Mask{"email": {Type: "mail"}}},
		"another mask":                 {Masks: map[string]masking.Mask{"email": {Type: masking.Email}, "Email": {Type: masking.None}}},
		"no column says":               {Masks: map[string]masking.Mask{"email": {Type: masking.Email, Owner: true}}},
		"no name":                      {Fields: []string{""}},
	} {
		_, err := masking.New(c)
		require.ErrorContains(t, err, want)
	}
}

// No value of eight characters or more that is masked, or not shown, is part of
// what is encoded.
func TestNothingLeaks(t *testing.T) {
	types := []masking.Type{masking.Email, masking.Phone, masking.SSN, masking.CreditCard, masking.Name, masking.Redact}
	value := rapid.OneOf(
		rapid.StringMatching(`[a-z0-9*. ]{1,12}@[a-z0-9*.-]{1,12}`),
		rapid.StringMatching(`[+0-9 *()-]{8,20}`),
		rapid.StringMatching(`[A-Za-z*] ([A-Za-z* ]{1,3}){2,8}`),
		rapid.StringMatching(`[0-9]{8,19}`),
		rapid.StringN(8, 20, -1),
	)
	rapid.Check(t, func(t *rapid.T) {
		c := masking.Config{Fields: []string{"shown0", "shown1", "my_token"}, Masks: map[string]masking.Mask{}}
		for _, name := range []string{"shown0", "shown1"} {
			c.Masks[name] = masking.Mask{Type: rapid.SampledFrom(types).Draw(t, "mask"), Roles: []string{"admin"}}
		}
		tab := table(t, c)
		var row []masking.Field
		var hidden []string
		for _, name := range []string{"shown0", "shown1", "my_token", "left_out"} {
			v := value.Draw(t, name)
			text, err := json.Marshal(v)
			require.NoError(t, err)
			row = append(row, masking.Field{Name: name, JSON: text})
			hidden = append(hidden, v)
		}
		text := encode(t, tab, tab.ClearFor([]string{"member"}), row...)
		var decoded map[string]string
		require.NoError(t, json.Unmarshal([]byte(text), &decoded))
		for _, v := range hidden {
			if len([]rune(v)) < 8 || v == masking.Redacted {
				continue
			}
			require.NotContains(t, text, v)
			for _, shown := range decoded {
				require.NotContains(t, shown, v)
			}
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add("paul@example.com")
	f.Add("J\xff D")
	f.Fuzz(func(t *testing.T, s string) {
		for _, m := range []masking.Type{masking.Email, masking.Phone, masking.Name, masking.Redact} {
			got := m.Text(s)
			if len([]rune(s)) >= 8 && s != masking.Redacted {
				require.NotContains(t, got, s)
			}
		}
	})
}
