// The documented examples, as they stand.

// send
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

// identify_user
notificationapi.identifyUser({
  id: 'userId_123abc',
  email: 'spongebob@squarepants.com',
  number: '+15005550006',
  pushTokens: [
    {
      type: PushProviders.FCM,
      token: 'samplePushToken',
      device: {
        app_id: 'com.example.app',
        ad_id: '1234567890',
        device_id: '1234567890',
        platform: 'android',
        manufacturer: 'Samsung',
        model: 'SM-G930F'
      }
    }
  ],
  webPushTokens: [
    {
      sub: {
        endpoint:
          'https://fcm.googleapis.com/fcm/send/fCs_4iba0Ao:APA91bGFdaU7I3****JMH_KeZwk1Xi',
        keys: {
          p256dh:
            'zP2xFu3hMc2vNH5E2nuKkyjpZydvCk9llRUY2kP4****9aSlKcoadSV2UbvMRQ',
          auth: 'CXEFun************tYe8g'
        }
      }
    }
  ]
});

// set_user_preferences
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

// retract
notificationapi.retract({
  notificationId: 'order_tracking',
  userId: 'userId_123abc'
});

// send_hello
notificationapi.send({
  notificationId: 'hello_world',
  user: {
    id: '123',
    email: 'test@test.com',
    number: '+15005550006'
  },
  mergeTags: {
    firstName: 'test'
  }
});

// set_user_preferences_hello
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

// retract_hello
notificationapi.retract({
  notificationId: 'hello_world',
  userId: '123'
});
