notificationapi.retract({
  notificationId: 'order_tracking',
  userId: 'userId_123abc'
});
