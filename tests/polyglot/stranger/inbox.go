package main

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Item stays a plain map: fields we do not know must survive, and an "updated" names fields by their name.
type Item map[string]any

func (it Item) str(field string) string { s, _ := it[field].(string); return s }
func (it Item) place() place            { return place{it.str("date"), it.str("id")} }

// place is where an item stands. Times have a fixed width, so text compares as time does.
type place struct{ date, id string }

func (p place) less(q place) bool { return p.date < q.date || p.date == q.date && p.id < q.id }

func byPlace(x, y Item) int {
	p, q := x.place(), y.place()
	return 2*strings.Compare(p.date, q.date) + strings.Compare(p.id, q.id)
}

// frame has the fields of every frame from the gateway; which ones are filled depends on Type.
type frame struct {
	Type, Ref, Resume, Cause, Cursor, Code, Message string

	NextPageToken string `json:"next_page_token"`
	UnreadCount   int    `json:"unread_count"`
	UnreadChange  int    `json:"unread_change"`
	Item          Item
	Items         []Item
	IDs, Revs     []string
	Set           Item
	Unset         []string
	Field         *string
}

// inbox is what this client holds. Nothing here knows of sockets.
type inbox struct {
	items     map[string]Item
	unread    int
	cursor    string
	pageToken string
	bottom    place // what is less than this is not ours yet; the zero place: nothing is
	greatest  place // of all that was ever held, so that a retracted item does not make older ones "new"
	fresh     []string
	resumes   []string

	// Events since a list was sent. Its page may have been read before them, and here they were passed over
	// where their items were not held yet: so they are applied once more, on top of the page.
	listing bool
	journal []frame
}

func (b *inbox) welcome(f frame) {
	quiet := len(b.resumes) == 0 || f.Cause == "OTHER_USER" || f.Cause == "CURSOR_AHEAD"
	before := b.greatest
	if f.Resume != "full" {
		b.items = map[string]Item{}
		b.setBottom(f)
	}
	slices.SortFunc(f.Items, byPlace) // what is new is told in the order in which events would have told it
	for _, it := range f.Items {
		delete(b.items, it.str("id")) // a welcome replaces whatever the rev
		if it["retract_time"] == nil && b.put(it) && !quiet {
			b.note(it, before)
		}
	}
	b.unread, b.cursor = f.UnreadCount, f.Cursor
	b.resumes = append(b.resumes, f.Resume)
}

// event applies one event frame, and passes over what it does not know.
func (b *inbox) event(f frame) {
	before := b.greatest
	switch f.Type {
	case "created":
		if b.put(f.Item) {
			b.note(f.Item, before)
		}
	case "updated", "retracted":
		b.change(f)
	case "preferences_changed": // of it the inbox needs the cursor only
	default:
		return
	}
	b.unread += f.UnreadChange // counted even where the item is not ours
	b.cursor = f.Cursor
	if b.listing {
		b.journal = append(b.journal, f)
	}
}

func (b *inbox) change(f frame) {
	for i, id := range f.IDs {
		held, ok := b.items[id]
		if f.Type == "retracted" {
			delete(b.items, id)
		} else if ok && i < len(f.Revs) {
			next := maps.Clone(held)
			maps.Copy(next, f.Set)
			for _, name := range f.Unset {
				delete(next, name)
			}
			next["rev"] = f.Revs[i]
			b.put(next) // which passes it over if the rev is not greater
		}
	}
}

// put takes an item by the rules of a created: the greater rev wins, what is below the bottom is not held.
func (b *inbox) put(it Item) bool {
	id := it.str("id")
	if held, ok := b.items[id]; ok && held.str("rev") >= it.str("rev") {
		return false
	}
	if it.place().less(b.bottom) {
		delete(b.items, id)
		return false
	}
	b.items[id] = it
	if b.greatest.less(it.place()) {
		b.greatest = it.place()
	}
	return true
}

func (b *inbox) note(it Item, before place) {
	if it["unread"] == true && before.less(it.place()) {
		b.fresh = append(b.fresh, it.str("id"))
	}
}

// setBottom is for a snapshot or a page.
func (b *inbox) setBottom(f frame) {
	b.pageToken = f.NextPageToken
	if f.NextPageToken == "" {
		b.bottom = place{}
	} else if len(f.Items) > 0 {
		b.bottom = slices.MinFunc(f.Items, byPlace).place()
	}
}

func (b *inbox) joinPage(f frame) {
	b.setBottom(f)
	for _, it := range f.Items {
		b.put(it)
	}
	for _, e := range b.journal { // without badge and cursor, which have them already
		if e.Type == "created" {
			b.put(e.Item)
		}
		b.change(e)
	}
	b.endList()
}

func (b *inbox) endList() { b.listing, b.journal = false, nil }

// shown is the inbox as a person sees it: no archived, no expired ones, greatest first.
func (b *inbox) shown() []Item {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	out := slices.AppendSeq([]Item{}, maps.Values(b.items))
	out = slices.DeleteFunc(out, func(it Item) bool {
		return it["archive_time"] != nil || it["expire_time"] != nil && it.str("expire_time") <= now
	})
	slices.SortFunc(out, func(x, y Item) int { return byPlace(y, x) })
	return out
}
