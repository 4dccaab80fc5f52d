// Verifies a Jeton access token offline and prints its claims.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

func main() {
	claims, err := run(env("JETON_URL", "http://127.0.0.1:8080"), env("JETON_AUDIENCE", "api"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
	fmt.Println(string(claims))
}

func run(issuer, audience string) ([]byte, error) {
	// Keeps the keys in memory, and fetches them again when they are old or a key is unknown.
	keys, err := keyfunc.NewDefaultCtx(context.Background(), []string{issuer + "/.well-known/jwks.json"})
	if err != nil {
		return nil, err
	}
	token, err := tokenArgument()
	if err != nil {
		return nil, err
	}
	claims, err := verify(token, keys, issuer, audience)
	if err != nil {
		return nil, err
	}
	return json.Marshal(claims)
}

// verify returns the claims of a valid token, and an error for any other.
func verify(token string, keys keyfunc.Keyfunc, issuer, audience string) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	verified, err := jwt.ParseWithClaims(token, claims, keys.Keyfunc,
		jwt.WithValidMethods([]string{"ES256", "EdDSA", "RS256"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(30*time.Second),
	)
	if err != nil {
		return nil, err
	}
	if verified.Header["typ"] != "at+jwt" { // the library does not look at it
		return nil, errors.New("not an access token")
	}
	for _, name := range []string{"iat", "jti", "sub", "client_id", "tenant_id"} {
		if _, ok := claims[name]; !ok {
			return nil, fmt.Errorf("the claim %s is missing", name)
		}
	}
	return claims, nil
}

func tokenArgument() (string, error) {
	if len(os.Args) > 1 {
		return os.Args[1], nil
	}
	input, err := io.ReadAll(os.Stdin)
	return strings.TrimSpace(string(input)), err
}

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
