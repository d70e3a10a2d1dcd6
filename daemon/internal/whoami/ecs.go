package whoami

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Task is what the metadata of an ECS task say, as far as it names the replica.
type Task struct {
	// ARN of the task; its end is the task's id.
	ARN string `json:"task_arn"`
	// Family and Revision of its definition.
	Family   string `json:"family"`
	Revision string `json:"revision"`
	// Service that it belongs to; older agents do not say.
	Service string `json:"service,omitempty"`
}

// maxMetadata is far more than the metadata of a task are.
const maxMetadata = 256 << 10

// ecs asks for the task by the metadata endpoint, version 4. Tasks have ids and no numbers: whatever is made of an id, no
// task is known to be the first.
func ecs(ctx context.Context, s Surroundings, id *Identity) bool {
	base := s.Env("ECS_CONTAINER_METADATA_URI_V4")
	if base == "" {
		return false
	}
	id.Platform = ECS
	id.because("ECS_CONTAINER_METADATA_URI_V4 is set")
	t, err := askTask(ctx, s.HTTP, base)
	if err != nil {
		id.because("its task could not be asked for: %v", err)
	} else {
		id.Task = &t
		id.Instance = t.ARN[strings.LastIndexByte(t.ARN, '/')+1:]
		id.because("the task is %s, of the family %s, revision %s", t.ARN, t.Family, t.Revision)
	}
	id.because("tasks of ECS have no number: let a leader be elected, or give one task its role by ISRD_ROLE")
	return true
}

func askTask(ctx context.Context, client *http.Client, base string) (t Task, err error) {
	if client == nil {
		return t, errors.New("there is nobody to ask")
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/task", http.NoBody)
	if err != nil {
		return t, fmt.Errorf("ask for the task: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return t, fmt.Errorf("ask for the task: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return t, fmt.Errorf("the answer is %s", response.Status)
	}
	var metadata struct{ TaskARN, Family, Revision, ServiceName string }
	if err := json.NewDecoder(io.LimitReader(response.Body, maxMetadata)).Decode(&metadata); err != nil {
		return t, fmt.Errorf("read the answer: %w", err)
	}
	if metadata.TaskARN == "" {
		return t, errors.New("the answer has no TaskARN")
	}
	return Task{ARN: metadata.TaskARN, Family: metadata.Family, Revision: metadata.Revision, Service: metadata.ServiceName}, nil
}

// plainClient asks without a proxy, and goes where it was told to only.
func plainClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
