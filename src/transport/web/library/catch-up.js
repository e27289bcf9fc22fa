// Added by the server to the client library: a page that reconnects asks for what it has missed, and is not
// told again what it has. Remembers the id of the last `message` of the default namespace, and adds it to
// the next handshake as `after`. Touches nothing else.
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

  function isMessage(name, payload) {
    return name === 'message' && payload && ID.test(payload.id);
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
      if (data && isMessage(data[0], data[1])) manager.opts.query = withAfter(manager.opts.query, data[1].id);
    });
  });

  // 0.9
  follow(io.SocketNamespace && io.SocketNamespace.prototype, 'onPacket', function (namespace, packet) {
    if (namespace.name !== '' || packet.type !== 'event' || !packet.args || !isMessage(packet.name, packet.args[0])) return;
    var options = namespace.socket.options;
    options.query = withAfter(options.query, packet.args[0].id);
  });
})(typeof window === 'undefined' ? undefined : window.io);
