// Added by the server to the client library: a page that reconnects asks for what it has missed, and is not
// told again what it has. Remembers the id of the last `message` of the default namespace, or of the last `chat`, whose
// payload is a string of JSON, and adds it to the next handshake as `after`. Touches nothing else, but that a 0.9 page is not told twice what came twice.
;(function (io) {
  if (!io) return;
  var ID = /^\d+-[0-9a-f]{8}$/;
  var AFTER = /(^|&)after=[^&]*/;

  // A query is a string or an object, as the page gave it; the page's own object is left as it is.
  function withAfter(query, id) {
    if (!query || typeof query === 'string') {
      var others = (query || '').replace(AFTER, '').replace(/^&/, '');
      return (others ? others + '&' : '') + 'after=' + id;
    }
    var copy = {};
    for (var name in query) if (Object.prototype.hasOwnProperty.call(query, name)) copy[name] = query[name];
    copy.after = id;
    return copy;
  }

  // The id of the message that an event shows, if it shows one.
  function idOf(name, payload) {
    if (name === 'chat' && typeof payload === 'string') {
      try {
        payload = JSON.parse(payload);
      } catch (e) {
        return undefined;
      }
    } else if (name !== 'message') return undefined;
    return payload && ID.test(payload.id) ? payload.id : undefined;
  }

  // Has `remember` see what an object's method was called with, after the page has: what the page's handler fails at
  // is asked for again.
  function follow(object, method, remember) {
    var original = object && object[method];
    if (typeof original !== 'function') return;
    object[method] = function (packet) {
      var result = original.apply(this, arguments);
      remember(this, packet, result);
      return result;
    };
  }

  // 1.x to 4.x; not all of them show what a socket is made from, but all show who makes it.
  follow(io.Manager && io.Manager.prototype, 'socket', function (manager, namespace, socket) {
    if (socket.nsp !== '/' || socket.catchesUp) return;
    socket.catchesUp = true;
    follow(socket, 'onevent', function (socket, packet) {
      var data = packet && packet.data;
      var id = data && idOf(data[0], data[1]);
      if (id) manager.opts.query = withAfter(manager.opts.query, id);
    });
  });

  // Whether a message came before another one, or is it; both of one history.
  function isTold(id, last) {
    var one = id.split('-');
    var other = last.split('-');
    return one[1] === other[1] && Number(one[0]) <= Number(other[0]);
  }

  // 0.9 may read on from a connection that it has given up, beside the one that has taken its place.
  var namespaces = io.SocketNamespace && io.SocketNamespace.prototype;
  if (!namespaces) return;
  var onPacket = namespaces.onPacket;
  namespaces.onPacket = function (packet) {
    var id = this.name === '' && packet.type === 'event' && packet.args && idOf(packet.name, packet.args[0]);
    if (!id) return onPacket.apply(this, arguments);
    var socket = this.socket;
    if (socket.lastTold && isTold(id, socket.lastTold)) return;
    onPacket.apply(this, arguments);
    socket.lastTold = id;
    socket.options.query = withAfter(socket.options.query, id);
  };
})(typeof window === 'undefined' ? undefined : window.io);
