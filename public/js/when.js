// Times in words, in the reader's own language and time zone.

const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

const midnight = (time) => new Date(time.getFullYear(), time.getMonth(), time.getDate());
const daysAgo = (time) => Math.round((midnight(new Date()) - midnight(time)) / 86_400_000);
const capitalized = (text) => text.charAt(0).toLocaleUpperCase() + text.slice(1);

export const clockTime = (time) => clock.format(time);

export const fullTime = (time) => full.format(time);

export const sameDay = (one, other) => one.toDateString() === other.toDateString();

/** "Today", "Yesterday", "Tuesday, 3 March", "3 March 2021". */
export function dayInWords(time) {
  const days = daysAgo(time);
  if (days === 0 || days === 1) return capitalized(relative.format(-days, 'day'));
  return capitalized((days > 0 && days < 180 ? weekday : date).format(time));
}

/** "now", "5 min. ago", "yesterday": short, for lists. */
export function agoInWords(time) {
  const minutes = Math.floor((Date.now() - time) / 60_000);
  const short = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto', style: 'narrow' });
  if (minutes < 1) return short.format(0, 'second');
  if (minutes < 60) return short.format(-minutes, 'minute');
  if (minutes < 24 * 60) return short.format(-Math.floor(minutes / 60), 'hour');
  return short.format(-Math.max(1, daysAgo(time)), 'day');
}
