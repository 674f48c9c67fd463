// Texts for numbers and times.

const NONE = "–";
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const short = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dated = new Intl.DateTimeFormat(undefined,
  { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const whole = new Intl.NumberFormat();
const cents = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const brief = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

export const known = (value) => value !== null && value !== undefined;
export const count = (value) => (known(value) ? whole.format(value) : NONE);
export const compact = (value) => (known(value) ? brief.format(value) : NONE);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export function dollars(value) {
  if (!known(value)) return NONE;
  if (value === 0) return "$0";
  if (value < 0.0001) return "<$0.0001";
  return `$${value < 1 ? value.toPrecision(2) : cents.format(value)}`;
}

export function seconds(value) {
  if (!known(value)) return NONE;
  if (value < 0.1) return `${Math.round(value * 1000)} ms`;
  return value < 60 ? `${value.toFixed(1)} s` : span(value);
}

// A duration in seconds, in its two largest units: 2 d 3 h, 5 h 12 min, 40 s
export function span(value) {
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let left = Math.max(0, Math.round(value));
  const first = parts.findIndex(([, size]) => left >= size);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).map(([unit, size]) => {
    const n = Math.floor(left / size);
    left -= n * size;
    return n ? `${n} ${unit}` : "";
  }).filter(Boolean).join(" ");
}

export const at = (unix) => clock.format(unix * 1000);
export const iso = (unix) => new Date(unix * 1000).toISOString();

// The time, and the day unless it is today.
export function when(unix) {
  const that = new Date(unix * 1000);
  return (that.toDateString() === new Date().toDateString() ? short : dated).format(that);
}

export function until(unix) {
  const left = unix - Date.now() / 1000;
  return left > 0 ? `in ${span(left)}` : "now";
}

// The name of a quota's window: 300 → "5 h", 10080 → "week"
export function window(minutes) {
  if (!known(minutes)) return "";
  if (minutes % 10080 === 0) return minutes === 10080 ? "week" : `${minutes / 10080} weeks`;
  if (minutes % 1440 === 0) return minutes === 1440 ? "day" : `${minutes / 1440} days`;
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${minutes} min`;
}
