notificationapi.retract({
  notificationId: 'hello_world',
  userId: '123'
});
