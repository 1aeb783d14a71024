// `main known|unknown|expect URL BYTES`: a client with net/http. Prints the status and how long the answer was.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0
	}
	return len(p), nil
}

func upload(length, url, size string) (string, error) {
	bytes, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequest(http.MethodPut, url, io.LimitReader(zeros{}, bytes))
	if err != nil {
		return "", err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// The server's certificate was made for one run. With TLS the two agree on HTTP/2.
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	switch length {
	case "known":
		request.ContentLength = bytes
	case "expect":
		request.ContentLength = bytes
		request.Header.Set("Expect", "100-continue")
		transport.ExpectContinueTimeout = 10 * time.Second
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %d", answer.StatusCode, len(content)), nil
}

func main() {
	outcome, err := upload(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		outcome = "error " + err.Error()
	}
	fmt.Println(outcome)
}
