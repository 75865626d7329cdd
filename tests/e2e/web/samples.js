// What a product might tell its users: for the states that are looked at.

const MINUTE = 60_000;

const ICON = (letter, colour) =>
  `data:image/svg+xml,${encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36"><rect width="36" height="36" fill="${colour}"/><text x="18" y="24" font-family="sans-serif" font-size="17" font-weight="700" fill="#fff" text-anchor="middle">${letter}</text></svg>`,
  )}`;

const PICTURE = `data:image/svg+xml,${encodeURIComponent(
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360"><defs><linearGradient id="a" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="#f7c59f"/><stop offset="1" stop-color="#2a6f97"/></linearGradient></defs><rect width="640" height="360" fill="url(#a)"/><circle cx="500" cy="100" r="52" fill="#fff3d6"/><path d="M0 300 160 170l120 100 110-80 250 150v20H0z" fill="#1b3a4b"/></svg>`,
)}`;

/** Makes an item as a frame has it. */
export function item(number, fields = {}) {
  const { minutes = number * 7, ...others } = fields;
  return {
    id: `i${String(number).padStart(6, "0")}`,
    rev: "000000000000000a",
    notification_id: "sample",
    title: `Notification ${number}`,
    date: new Date(Date.now() - minutes * MINUTE).toISOString(),
    unread: true,
    message_count: 1,
    priority: "NORMAL",
    ...others,
  };
}

const ENGLISH = [
  { title: "Your Krabby Patty Burger is on its way", body: "It will be delivered to 124 Conch Street, between 12:10 and 12:25.", url: "/orders/1234567890", minutes: 0, icon_url: ICON("K", "#c2410c") },
  { title: "Sandy Cheeks invited you to “Treedome redesign”", body: "You can see and comment on everything in this project.", minutes: 4, icon_url: ICON("S", "#0f766e"), actions: [{ label: "Accept", url: "/invitations/7" }, { label: "Decline" }] },
  { title: "Invoice 2026-1104 is ready", body: "€ 1,240.00, due on 12 December. We charge the card that ends in 4242.", minutes: 52, message_count: 3, label: "Billing", unread: true },
  { title: "Photos from the lagoon trip", body: "Pearl added 24 photos.", image_url: PICTURE, minutes: 190, unread: false, icon_url: ICON("P", "#7c3aed") },
  { title: "Weekly report", html: true, body: "<p><b>312 orders</b>, 8 % more than last week.</p><ul><li>Best seller: <a href=\"https://example.com/patty\">Krabby Patty</a></li><li>Longest wait: 14 minutes</li></ul>", minutes: 26 * 60, unread: false },
  { title: "The terms of service change on 1 January 2027, and this title is much longer than what anybody would read at a glance in a small panel, so that it has to end somewhere", body: "We made them shorter and easier to read. What changes: how long we keep your data, how you can get all of it, and whom you can talk to when something is wrong. Nothing changes in what you pay. If you do not agree you can close your account until then, and get back what you have paid in advance for the months that are left. There is a page that shows the old and the new side by side.", minutes: 3 * 1440, unread: false },
  { title: "Welcome to Bikini Bottom Deliveries", body: "Good to have you here.", minutes: 40 * 1440, unread: false },
];

const ARABIC = [
  { title: "طلبك «برغر كرابي باتي» في الطريق إليك", body: "سيصل إلى 124 شارع المحارة بين الساعة 12:10 و12:25.", url: "/orders/1234567890", minutes: 0, icon_url: ICON("ك", "#c2410c") },
  { title: "دعتك ساندي إلى مشروع «تجديد القبة»", body: "يمكنك رؤية كل ما في هذا المشروع والتعليق عليه.", minutes: 4, icon_url: ICON("س", "#0f766e"), actions: [{ label: "قبول", url: "/invitations/7" }, { label: "رفض" }] },
  { title: "الفاتورة 1104-2026 جاهزة", body: "المبلغ 1٬240٫00 يورو، مستحق في 12 ديسمبر.", minutes: 52, label: "الفواتير" },
  { title: "Photos from the lagoon trip", body: "أضافت بيرل 24 صورة.", image_url: PICTURE, minutes: 190, unread: false, icon_url: ICON("ب", "#7c3aed") },
  { title: "أهلاً بك", body: "يسعدنا انضمامك إلينا.", minutes: 40 * 1440, unread: false },
];

/** Real content, of one language. */
export const contents = (language) => (language === "ar" ? ARABIC : ENGLISH).map((fields, index) => item(9 - index, fields));

const channel = (name, delivery_option = "INSTANT", offered = ["OFF", "INSTANT"]) => ({
  channel: name,
  delivery_option,
  chosen: false,
  default_delivery_option: "INSTANT",
  offered_delivery_options: offered,
});

export const preferences = () => [
  {
    notification_id: "order_tracking",
    title: "Order tracking",
    section: "orders",
    channels: [channel("EMAIL"), channel("INAPP_WEB"), channel("SMS", "OFF"), channel("WEB_PUSH")],
    sub_notifications: [
      { sub_notification_id: "shop-1", title: "Krusty Krab", channels: [channel("EMAIL"), channel("INAPP_WEB")] },
      { sub_notification_id: "shop-2", title: "Chum Bucket", channels: [channel("EMAIL", "OFF"), channel("INAPP_WEB")] },
    ],
  },
  {
    notification_id: "new_comment",
    title: "New comments",
    section: "projects",
    channels: [channel("EMAIL", "DAILY", ["OFF", "INSTANT", "HOURLY", "DAILY", "WEEKLY"]), channel("INAPP_WEB"), channel("PUSH")],
  },
  { notification_id: "security", title: "Sign-ins from new devices", section: "account", channels: [channel("EMAIL", "INSTANT", ["INSTANT"])] },
];

export const texts = {
  ar: {
    title: "الإشعارات", inboxView: "الوارد", unreadView: "غير مقروء", archiveView: "الأرشيف", markAll: "تحديد الكل كمقروء",
    close: "إغلاق", preferences: "التفضيلات", preferencesHint: "اختر ما يصلك وكيف يصلك.", back: "رجوع", markRead: "تحديد كمقروء",
    markUnread: "تحديد كغير مقروء", archive: "أرشفة", archived: "تمت الأرشفة", undo: "تراجع", showMore: "عرض المزيد", loadMore: "تحميل المزيد",
    alwaysOn: "مفعّل دائماً", channels: { EMAIL: "البريد", INAPP_WEB: "الوارد", SMS: "رسالة نصية", PUSH: "الهاتف", WEB_PUSH: "المتصفح" },
    deliveryOptions: { DAILY: "يومياً", OFF: "إيقاف", INSTANT: "فوراً", HOURLY: "كل ساعة", WEEKLY: "أسبوعياً" },
  },
};
