package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// A device that prints a channel and survives restarts of the program, of the network and of the fleet.
func Example() {
	ctx := context.Background()
	c, err := client.Open(ctx, client.Options{
		Endpoints: []string{"https://chat.example.com"},
		Token:     client.StaticToken("eyJhbGciOiJFZERTQSJ9…"),
		Device:    "desk",
		Cursors:   client.NewFileCursors("cursors.json"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	news, err := c.Attach("cmfrggzdfmztwq2lk", client.AttachOptions{
		FromBeginning: true,
		Handler: func(_ context.Context, u client.Update) error {
			if u.Reset != nil {
				fmt.Printf("— away for too long; %s has %d messages, the newest are:\n", u.Reset.Info.Title, u.Reset.Info.Pts)
				for _, e := range u.Reset.Events {
					fmt.Println(e.Sender, e.GetMessage().GetText())
				}
				return nil
			}
			fmt.Println(u.Event.Sender, u.Event.GetMessage().GetText())
			return nil
		},
	})
	if err != nil {
		log.Print(err)
		return
	}
	<-news.Done() // the fleet has refused the channel, or the handler has failed
	log.Print(news.Err())
}

// A post is sent again until it has an outcome. If time runs out before, it is kept, and given again later: the message is
// in the log once.
func ExampleClient_Post() {
	var c *client.Client // see the example of the package
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	posted, err := c.Post(ctx, &chatv1.PostRequest{
		Log:     "gmfrggzdfmztwq2lk",
		Message: &chatv1.Message{Text: "rehearsal at seven"},
	})
	var unknown *client.OutcomeUnknownError[*chatv1.PostRequest]
	var refused *client.Error
	switch {
	case err == nil:
		fmt.Println("posted at", posted.Pts)
	case errors.As(err, &unknown):
		fmt.Println("keep it and post it again:", unknown.Request)
	case errors.As(err, &refused) && refused.Code == chatv1.Error_CODE_NOT_MEMBER:
		fmt.Println("join first")
	default:
		fmt.Println("not sent:", err)
	}
}

// All devices of a user follow what he joins on any of them.
func ExampleFollow() {
	show := func(_ context.Context, u client.Update) error {
		fmt.Println(u.Cursor.Log, u.Cursor.PTS)
		return nil
	}
	c, err := client.Open(context.Background(), client.Options{
		Endpoints: []string{"https://eu.chat.example.com", "https://us.chat.example.com"},
		Token:     client.StaticToken("eyJhbGciOiJFZERTQSJ9…"),
		Device:    "tablet",
		Cursors:   client.NewFileCursors("cursors.json"),
		Follow: &client.Follow{
			Attach: func(_ string, kind chatv1.LogKind) (client.AttachOptions, bool) {
				// Groups from their first message, channels from now on.
				return client.AttachOptions{Handler: show, FromBeginning: kind == chatv1.LogKind_LOG_KIND_GROUP}, true
			},
		},
		OnStatus: func(s client.Status) {
			if !s.SignedIn {
				fmt.Println("offline, trying again in", s.RetryIn)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}
