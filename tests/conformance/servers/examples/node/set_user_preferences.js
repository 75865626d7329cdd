notificationapi.setUserPreferences('userId', [
  {
    notificationId: 'new_order',
    channel: 'INAPP_WEB',
    state: false
  },
  {
    notificationId: 'order_tracking',
    channel: 'SMS',
    state: true
  }
]);
