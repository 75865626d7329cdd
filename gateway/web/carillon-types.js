// @ts-check
// What goes in and out of carillon.js, for who reads it and for type checkers. It has no code.

export {};

/**
 * @typedef {object} Item An item as frames have it; what is empty is left out.
 * @property {string} id
 * @property {string} rev
 * @property {string} notification_id
 * @property {string} title
 * @property {string} date
 * @property {boolean} unread
 * @property {number} message_count
 * @property {string} priority
 * @property {string} [sub_notification_id]
 * @property {string} [secondary_id]
 * @property {string} [body]
 * @property {boolean} [html] Whether the template said that its texts are HTML.
 * @property {string} [url]
 * @property {string} [image_url]
 * @property {string} [icon_url]
 * @property {{ label?: string, url?: string }[]} [actions]
 * @property {{ time: string, text: string }[]} [replies]
 * @property {string[]} [tags]
 * @property {string} [category]
 * @property {string} [section]
 * @property {string} [label]
 * @property {string} [seen_time]
 * @property {string} [opened_time]
 * @property {string} [clicked_time]
 * @property {string} [archive_time]
 * @property {string} [expire_time]
 * @property {string} [first_action_time]
 * @property {string} [second_action_time]
 *
 * @typedef {"SEEN" | "OPENED" | "CLICKED" | "ARCHIVED" | "FIRST_ACTION" | "SECOND_ACTION"} Mark
 * @typedef {{ changed_count: number, unread_count: number }} Marked
 *
 * @typedef {object} Filter What is absent does not narrow.
 * @property {boolean} [unread]
 * @property {string[]} [notification_ids]
 * @property {string[]} [categories]
 * @property {string[]} [sections]
 * @property {string[]} [tags]
 *
 * @typedef {object} ListOptions
 * @property {import("./carillon-store.js").ViewName | "all"} [view]
 * @property {Filter} [filter]
 * @property {number} [limit] At most 100.
 * @property {string} [pageToken]
 * @property {string} [beforeTime]
 *
 * @typedef {{ items: Item[], next_page_token: string, unread_count: number }} ItemPage
 *
 * @typedef {object} Preference
 * @property {string} notification_id
 * @property {string} delivery_option
 * @property {string} [channel] Absent: all of them.
 * @property {string} [sub_notification_id] Absent: the whole.
 *
 *
 * @typedef {object} ChannelSetting
 * @property {string} channel
 * @property {string} delivery_option
 * @property {boolean} chosen
 * @property {string} default_delivery_option
 * @property {string[]} [offered_delivery_options]
 *
 * @typedef {{ sub_notification_id: string, title?: string, channels?: ChannelSetting[] }} SubNotificationSettings
 *
 * @typedef {object} NotificationSettings
 * @property {string} notification_id
 * @property {string} [title]
 * @property {string} [section]
 * @property {string} [category]
 * @property {ChannelSetting[]} [channels]
 * @property {SubNotificationSettings[]} [sub_notifications]
 *
 * @typedef {object} PreferencePage
 * @property {Preference[]} preferences All choices.
 * @property {NotificationSettings[]} notifications
 * @property {string} next_page_token
 *
 * @typedef {{ name?: string, logo_url?: string, vapid_public_key?: string }} Environment
 *
 * @typedef {object} Options
 * @property {string} url Where the gateway's sockets are: ws(s)://…/v1/inbox; http(s) is taken for it.
 * @property {string} [clientId]
 * @property {string} [userId]
 * @property {string} [userHash] With clientId and userId; absent only where secure mode is off. Else a token, or a way
 *   to have one:
 * @property {string} [token]
 * @property {() => string | Promise<string>} [onTokenNeeded] Gives a new user token; nothing: nobody is signed in. What
 *   it raises is told by "problem", and it is asked again later.
 * @property {number} [limit] How many items to begin with, and to load at once; at most 500.
 * @property {import("./carillon-saved.js").Storage | null} [storage] Keeps the state over a page load; null: nothing.
 * @property {any} [WebSocket] Its constructor, where it is not the global one.
 */
