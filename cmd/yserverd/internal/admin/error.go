package admin

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yserverd/yserverd/gate"
)

// Error is the body of every answer that is no success: that of package gate.
type Error struct {
	Message string         `json:"error" doc:"What is wrong, in a sentence."`
	Layer   gate.Layer     `json:"layer" enum:"validation,authentication,access,firewall" doc:"What refused."`
	Code    string         `json:"code" doc:"What is wrong, for programs: stable."`
	Details map[string]any `json:"details,omitempty"`
	Hint    string         `json:"hint,omitempty" doc:"What to do about it."`

	status int
	retry  time.Duration
}

// Error implements error.
func (e *Error) Error() string { return e.Message + " (" + e.Code + ")" }

// GetStatus implements huma.StatusError.
func (e *Error) GetStatus() int { return e.status }

// write answers a request with the error.
func (e *Error) write(w http.ResponseWriter) {
	(&gate.Refusal{
		Status: e.status, Layer: e.Layer, Code: e.Code, Message: e.Message, Details: e.Details, Hint: e.Hint, RetryAfter: e.retry,
	}).Write(w)
}

var installErrors sync.Once

// useErrors makes Error the error of huma, which has one for the whole process.
func useErrors() {
	installErrors.Do(func() {
		huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
			e := &Error{Message: strings.ToLower(message), Layer: gate.LayerValidation, Code: codeOf(status), status: status}
			if status >= http.StatusInternalServerError {
				e.Message = strings.ToLower(http.StatusText(status)) // the rest is of nobody's business
				return e
			}
			var places []any
			for _, err := range errs {
				if d, ok := err.(huma.ErrorDetailer); ok {
					places = append(places, map[string]any{"location": d.ErrorDetail().Location, "message": d.ErrorDetail().Message})
				}
			}
			if len(places) > 0 {
				e.Details = map[string]any{"errors": places}
			}
			return e
		}
	})
}

// codeOf makes a code of a status: NOT_FOUND of 404.
func codeOf(status int) string {
	return strings.ToUpper(strings.ReplaceAll(http.StatusText(status), " ", "_"))
}
