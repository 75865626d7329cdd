notificationapi.send({
  notificationId: 'order_tracking',
  user: {
    id: 'userId_123abc',
    email: 'spongebob@squarepants.com',
    number: '+15005550006'
  },
  mergeTags: {
    item: 'Krabby Patty Burger',
    address: '124 Conch Street',
    orderId: '1234567890'
  }
});
