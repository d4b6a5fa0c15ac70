// Keeps the reader's place: the end, or the text at the top edge.

const NEAR_END = 40;
const NEAR_EDGE = 600;

export function createScroll({ scroller, column, rows, atEnd, onEdge, onScroll }) {
  let pinned = true;
  let lastTop = 0;
  let size = '';
  let anchor = null;           // { entry, top }: what is at the top edge, and its text's place

  // The text of an entry stays as it is. Above it, lines and the name come and go.
  const topOf = (entry) => (entry.querySelector('.text, .event') ?? entry)
    .getBoundingClientRect().top - scroller.getBoundingClientRect().top;

  function findAnchor() {
    const entries = rows.children;
    const edge = scroller.getBoundingClientRect().top;
    let low = 0;
    let high = entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (entries[middle].getBoundingClientRect().bottom > edge) high = middle;
      else low = middle + 1;
    }
    const entry = entries[low];
    anchor = entry ? { entry, top: topOf(entry) } : null;
  }

  const sizeNow = () => `${scroller.clientWidth} ${scroller.clientHeight}`;

  function moveTo(top) {
    scroller.scrollTop = top;
    lastTop = scroller.scrollTop;
    size = sizeNow();
  }

  const left = () => scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;

  function toBottom() {
    pinned = true;
    moveTo(scroller.scrollHeight);
  }

  function restore() {
    if (pinned) {
      toBottom();
      return;
    }
    const offBy = () => (anchor?.entry.isConnected ? topOf(anchor.entry) - anchor.top : Infinity);
    const off = offBy();
    moveTo(scroller.scrollTop + (Math.abs(off) < Infinity ? off : 0));
    if (Math.abs(offBy()) > 1) findAnchor();
    pinned = left() < NEAR_END && atEnd();
    onScroll();
  }

  function keep(change) {
    if (!pinned && (!anchor?.entry.isConnected || scroller.scrollTop !== lastTop)) findAnchor();
    change();
    restore();
  }

  const observer = new ResizeObserver(restore);
  observer.observe(scroller);
  observer.observe(column);

  // Only a scroll upwards ends `pinned`. One with another size comes from the browser: a turned phone.
  scroller.addEventListener('scroll', () => {
    if (size !== sizeNow()) return;
    const { scrollTop } = scroller;
    const moved = scrollTop - lastTop;
    lastTop = scrollTop;
    if (left() < NEAR_END && atEnd()) pinned = true;
    else if (moved < 0 && left() >= NEAR_END) pinned = false;
    onScroll();
    if (pinned || !moved) return;
    findAnchor();
    if (moved < 0 && scrollTop < NEAR_EDGE) onEdge('up');
    else if (moved > 0 && left() < NEAR_EDGE) onEdge('down');
  }, { passive: true });

  return {
    keep, toBottom,
    pinned: () => pinned,
    // What grows below is not followed.
    release() {
      pinned = false;
      findAnchor();
    },
    isAbove: (entry) => pinned || (!!anchor
      && !!(anchor.entry.compareDocumentPosition(entry) & Node.DOCUMENT_POSITION_PRECEDING)),
    place() {
      if (pinned) return null;
      if (!anchor?.entry.isConnected || scroller.scrollTop !== lastTop) findAnchor();
      return anchor;
    },
    go(entry, top) {
      if (!entry) return;
      pinned = false;
      anchor = { entry, top };
      restore();
    },
  };
}
