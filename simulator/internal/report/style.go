package report

// Style is the style sheet of report pages, for other pages that are to look like them.
func Style() string {
	text, err := assets.ReadFile("assets/page.css")
	if err != nil {
		panic(err) // a file of the program
	}
	return string(text)
}
