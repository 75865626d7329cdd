// A service worker of the page's own: that the element registers the one which the page names.
self.addEventListener("push", () => {});
