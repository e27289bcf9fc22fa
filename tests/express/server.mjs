// An application of Node whose sessions are in a Redis: of today (express-session, connect-redis), or of the years of
// AMQPChat (express 3 with connect's sessions). `node server.mjs now|then PORT SECRETS [MAX_AGE_MS]`; the port is Redis'.

import { createClient } from 'redis';

const [generation, redisPort, secrets, maxAge] = process.argv.slice(2);
const cookie = maxAge ? { maxAge: Number(maxAge) } : undefined;

const { app, express } = generation === 'then' ? await then() : await now();

app.use(express.urlencoded ? express.urlencoded({ extended: false }) : express.bodyParser());
app.post('/login', (request, answer) => {
  Object.assign(request.session, { name: request.body.name, mail: request.body.mail, cart: [{ n: 1, empty: [] }] });
  // As the oldest servers did.
  if (generation === 'then') request.session.pass = 'plain';
  answer.json({ success: true });
});
app.get('/who', (request, answer) => {
  const { name = null, mail = null, user = null, cart = null, visits = null } = request.session;
  answer.json({ name, mail, user, cart, visits });
});
app.get('/visit', (request, answer) => {
  request.session.visits = (request.session.visits ?? 0) + 1;
  answer.json(request.session.visits);
});
app.get('/again', (request, answer) => {
  const { user } = request.session;
  request.session.regenerate(() => {
    request.session.user = user;
    answer.json(user);
  });
});
app.get('/logout', (request, answer) => request.session.destroy(() => answer.redirect('/')));
const server = app.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));

async function now() {
  const { default: express } = await import('express');
  const { default: session } = await import('express-session');
  const { RedisStore } = await import('connect-redis');
  const client = createClient({ url: `redis://127.0.0.1:${redisPort}` });
  client.on('error', () => {});
  await client.connect();
  const app = express();
  const options = { name: 'jsessionid', secret: secrets.split(','), resave: false, saveUninitialized: true, cookie };
  app.use(session({ store: new RedisStore({ client }), ...options }));
  return { app, express };
}

async function then() {
  const { default: express } = await import('express-old');
  const { default: connectRedis } = await import('connect-redis-old');
  const app = express();
  const store = new (connectRedis(express))({ host: '127.0.0.1', port: Number(redisPort) });
  app.use(express.cookieParser());
  app.use(express.session({ store, key: 'jsessionid', secret: secrets, cookie }));
  return { app, express };
}
