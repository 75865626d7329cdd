notificationapi.setUserPreferences('userId', [
  {
    notificationId: 'notificationId1',
    channel: 'EMAIL',
    state: false
  },
  {
    notificationId: 'notificationId2',
    channel: 'SMS',
    state: true
  }
]);
