// What the tests see of js-client's widget, and which frames it has sent. The client itself stays as it is published.

window.sent = [];
const send = window.WebSocket.prototype.send;
window.WebSocket.prototype.send = function (text) {
  window.sent.push(JSON.parse(text));
  return send.call(this, text);
};

// jsdom knows no layout: there, what these classes hide is hidden.
const isVisible = (element) =>
  element.checkVisibility
    ? element.checkVisibility() && element.getBoundingClientRect().height > 0
    : !element.closest(".hidden, .closed");
const all = (selector) => [...document.querySelectorAll(selector)].filter(isVisible);

window.look = {
  /** The number at the bell, "" where there is none. */
  badge: () => all(".notificationapi-unread").map((element) => element.textContent).join(),
  /** The titles in the list that is open. */
  titles: () => all(".notificationapi-notification-title").map((element) => element.textContent),
  /** Those of them that are drawn as unread. */
  unseen: () => all(".unseen .notificationapi-notification-title").map((element) => element.textContent),
  /** Whether each switch of the preferences that are open is on, by notification, part and channel. */
  switches: () =>
    Object.fromEntries(
      all(".notificationapi-preferences-toggle, .notificationapi-preferences-subtoggle").map((toggle) => [
        ["data-notificationId", "data-subNotificationId", "data-channel"]
          .map((name) => toggle.getAttribute(name))
          .filter(Boolean)
          .join(" "),
        toggle.querySelector("input").checked,
      ]),
    ),
};
