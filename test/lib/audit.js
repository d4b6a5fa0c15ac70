// Audits the page in which it runs: names, roles, contrast, focus, target sizes, language, live
// regions and layout. audit.bash sends this file to the browser, followed by a call of one of the
// three functions at its end:
//
//   auditPage(tree, options)   what can be seen at rest; null if the tree is of an older document
//   watchFocus()               begins to record what gets the focus; returns how many stops there are
//   auditFocus()               what was recorded, after the Tab key was pressed that often
//
// `tree` is the browser's accessibility tree: for each element of the document, in its order,
// [tag, role, name], or [tag] for an element that assistive technology does not get. It is what
// screen readers are told, so no rule for names and roles is repeated here. The options are
// { language: 'en' or 'zh', touch: true on a layout for fingers, low: true on a low screen }.
//
// A fault is a line "element: fault: value". The limits are those of WCAG 2.2, level AA, and targets on
// touch layouts need 44 pixels, 40 on a low screen. What is inert, as behind a modal dialog, is not
// audited. Not covered: what a screen reader really says, pictures as backgrounds, and other browsers.

// The elements that the page promises to tools: id, role, and name in each language.
const PROMISED = {
  log: ['log', 'Messages', '消息'],
  name: ['textbox', 'Name', '昵称'],
  text: ['textbox', 'Message', '消息'],
  room: ['textbox', 'Room', '房间'],
  send: ['button', 'Send', '发送'],
  retry: ['button', 'Retry now', '立即重试'],
  older: ['button', 'Load older', '更早'],
  notifications: ['button', 'Notifications', '通知'],
  status: ['status'],
};
const CONTROLS = `a[href], button, input:not([type=hidden]), select, textarea, summary, [contenteditable],
  [role=button], [role=link], [role=menuitem], [role=option], [role=tab], [role=checkbox], [role=switch]`;
const FIELDS = 'input:not([type=hidden], [type=submit], [type=button]), select, textarea, [contenteditable]';
const LIVE = '[aria-live]:not([aria-live=off]), [role=log], [role=status], [role=alert], output';
// Words that are not the page's own. They have their own direction, and so their own language.
const STRANGERS = '[dir=auto], bdi, pre, code, kbd, textarea, [lang]:not(html)';
const PROPER_NAMES = /\b(ssechat|curl|emoji)\b/gi;
const SHAPES = 'svg :is(path, line, circle, rect, polyline, polygon, ellipse)';
const LEAST_TEXT = 4.5;
const LEAST_LARGE_TEXT = 3;
const LEAST_SHAPE = 3;

let faults = new Set();

function fault(element, what, value = '') {
  faults.add(`${describe(element)}: ${what}${value === '' ? '' : `: ${value}`}`);
}

function describe(element) {
  if (element === document.body || element === document.documentElement) return element.localName;
  const words = element.textContent.trim().replace(/\s+/g, ' ');
  const short = words.length > 24 ? `${words.slice(0, 23)}…` : words;
  const path = element.id ? `#${element.id}`
    : [element.localName, ...element.classList].join('.');
  return element.id || !short || element.children.length > 3 ? path : `${path} "${short}"`;
}

const styleOf = (element, pseudo) => getComputedStyle(element, pseudo);
const rounded = (number) => Math.round(number * 100) / 100;

// ---- What is visible ----

function isVisible(element) {
  if (!element.checkVisibility({ checkVisibilityCSS: true })) return false;
  const { width, height } = element.getBoundingClientRect();
  return width > 0 && height > 0;
}

// Text for screen readers alone is in a box of a pixel, or clipped to nothing.
function isUnseen(element) {
  for (let at = element; at; at = at.parentElement) {
    const style = styleOf(at);
    if (/inset\(50%|inset\(100%|circle\(0/.test(style.clipPath)) return true;
    const { width, height } = at.getBoundingClientRect();
    if (style.overflow !== 'visible' && width <= 1 && height <= 1) return true;
  }
  return false;
}

const isDisabled = (element) => !!element.closest(':disabled, [aria-disabled=true]');

// Returns the visible texts below an element: { node, element, rects }.
function textRuns(root) {
  const runs = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest('script, style, noscript, option, textarea')) continue;
    if (!isVisible(element) || isUnseen(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const rects = [...range.getClientRects()].filter(({ width, height }) => width > 1 && height > 1);
    if (rects.length) runs.push({ node, element, rects });
  }
  return runs;
}

// ---- Colours: [red, green, blue, alpha], each from 0 to 1 ----

function colourOf(text) {
  const numbers = (text.match(/-?[\d.]+(e-?\d+)?%?/g) ?? [])
    .map((part) => parseFloat(part) / (part.endsWith('%') ? 100 : 1));
  if (/^rgba?\(/.test(text)) {
    return [...numbers.slice(0, 3).map((part) => part / 255), numbers[3] ?? 1];
  }
  if (/^color\(srgb /.test(text)) return [...numbers.slice(0, 3), numbers[3] ?? 1];
  const canvas = document.createElement('canvas').getContext('2d');   // any other notation
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255);
}

// Paints one colour over another, which is opaque.
function over([red, green, blue, alpha], [underRed, underGreen, underBlue]) {
  const mix = (top, under) => top * alpha + under * (1 - alpha);
  return [mix(red, underRed), mix(green, underGreen), mix(blue, underBlue), 1];
}

function luminance(colour) {
  const [red, green, blue] = colour.slice(0, 3)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function ratio(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

const hex = (colour) => `#${colour.slice(0, 3)
  .map((part) => Math.round(part * 255).toString(16).padStart(2, '0')).join('')}`;

// Returns the colour behind what an element contains: its own background and those of its
// ancestors, down to the first opaque one.
function backgroundOf(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const style = styleOf(at);
    if (style.backgroundImage !== 'none') fault(element, 'its contrast with an image is unknown');
    layers.push(colourOf(style.backgroundColor));
    if (layers.at(-1)[3] === 1) break;
  }
  const dark = matchMedia('(prefers-color-scheme: dark)').matches
    && styleOf(document.documentElement).colorScheme.includes('dark');
  const canvas = dark ? [0.07, 0.07, 0.07, 1] : [1, 1, 1, 1];
  return layers.reduceRight((under, layer) => over(layer, under), canvas);
}

function opacityOf(element) {
  let opacity = 1;
  for (let at = element; at; at = at.parentElement) opacity *= styleOf(at).opacity;
  return opacity;
}

// ---- Names and roles ----

function auditName(element, role, name, options) {
  if (!role || ['generic', 'none', 'presentation', 'StaticText'].includes(role)) {
    fault(element, role ? 'can be used, but has no role' : 'assistive technology does not get it', role);
    return;
  }
  if (!/[\p{L}\p{N}]/u.test(name)) fault(element, 'has no name', name);
  const visible = element.matches(FIELDS) ? '' : textRuns(element)
    .filter((run) => !run.element.closest('[aria-hidden=true], svg')).map((run) => run.node.data).join(' ');
  const bare = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '');
  if (element.matches(CONTROLS) && !bare(name).includes(bare(visible))) {
    fault(element, 'its name lacks the words on it', `${name} / ${visible.trim()}`);
  }
  const strange = element.querySelector(STRANGERS) || (!element.matches(FIELDS) && element.closest(STRANGERS));
  if (!strange) auditLanguage(element, name, options);
}

function auditPromised(element, role, name, { language }) {
  const [promisedRole, english, chinese] = PROMISED[element.id] ?? [];
  if (!promisedRole) return;
  if (role !== promisedRole) fault(element, `is not a ${promisedRole}`, role);
  const promised = language === 'zh' ? chinese : english;
  if (promised && name !== promised) fault(element, `is not named ${promised}`, name);
}

// Two controls of the same role may share a name only if they do the same: links to the same
// address, or buttons with the same words of the page, which index.html gives in data-t.
function auditUnique(controls) {
  const first = new Map();
  for (const [element, role, name] of controls) {
    const key = `${role} ${name}`;
    const twin = first.get(key);
    const same = twin && (twin.href ? twin.href === element.href
      : !!twin.dataset.t && twin.dataset.t === element.dataset.t);
    if (twin && !same) fault(element, 'shares its name with another', key);
    first.set(key, element);
  }
}

function auditForm(field) {
  const named = field.labels?.length || field.ariaLabel || field.getAttribute('aria-labelledby');
  if (!named) fault(field, 'has no label');
}

function auditMarkup(root) {
  const ids = new Set();
  for (const element of document.querySelectorAll('[id]')) {
    if (ids.has(element.id)) fault(element, 'its id is used twice');
    ids.add(element.id);
  }
  const references = ['aria-labelledby', 'aria-describedby', 'aria-controls', 'aria-owns',
    'for', 'popovertarget', 'aria-errormessage', 'aria-activedescendant'];
  for (const attribute of references) {
    for (const element of document.querySelectorAll(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(/\s+/).filter(Boolean)) {
        if (!ids.has(id)) fault(element, `${attribute} names nothing`, id);
      }
    }
  }
  for (const image of root.querySelectorAll('img')) {
    if (!image.hasAttribute('alt')) fault(image, 'has no alt');
  }
  for (const element of document.querySelectorAll('[tabindex]')) {
    if (element.tabIndex > 0) fault(element, 'has a positive tabindex', element.tabIndex);
  }
  for (const list of root.querySelectorAll('ul, ol')) {
    for (const child of list.children) {
      if (!child.matches('li, script, template')) fault(child, 'is in a list, but no item');
    }
  }
  for (const element of root.querySelectorAll(`[aria-hidden=true] :is(${CONTROLS}, [tabindex]),
      :is(${CONTROLS}, [tabindex])[aria-hidden=true]`)) {
    if (element.tabIndex >= 0 && isVisible(element)) fault(element, 'gets the focus, but is hidden');
  }
}

function auditHeadings(nodes) {
  const headings = nodes.filter(([element, role]) => role === 'heading' && isVisible(element))
    .map(([element]) => [element, Number(element.ariaLevel || element.localName.slice(1))]);
  headings.forEach(([element, level], i) => {
    const above = i ? headings[i - 1][1] : level;
    if (level > above + 1) fault(element, 'skips a level of headings', `h${above}, h${level}`);
  });
  const main = headings.filter(([, level]) => level === 1).length;
  if (main !== 1 && !document.querySelector(':modal, [inert]')) {
    fault(document.body, 'does not have one h1', main);
  }
}

// A screen reader's jump from landmark to landmark skips text outside of all landmarks.
function auditLandmarks(runs) {
  const mains = [...document.querySelectorAll('main, [role=main]')].filter(isVisible).length;
  if (mains !== 1) fault(document.body, 'does not have one main', mains);
  for (const { element } of runs) {
    if (!element.closest(`main, nav, aside, body > header, body > footer, dialog, [role=region],
        [role=dialog], [role=alertdialog], [popover], [role=banner]`)) {
      fault(element, 'is in no landmark');
    }
  }
}

// ---- Live regions ----

function auditLive() {
  const logs = document.querySelectorAll('[role=log]');
  if (logs.length !== 1) fault(document.body, 'does not have one log', logs.length);
  for (const log of logs) {
    if (log.ariaLive !== 'polite') fault(log, 'is not polite', log.ariaLive);
    const waits = document.querySelector(':modal, [role=status][data-state]:not([data-state=connected])');
    if (log.ariaBusy === 'true' && !waits) fault(log, 'is busy and does not speak');
  }
  if (!document.querySelector('[role=status]')) fault(document.body, 'has no status');
  for (const region of document.querySelectorAll(LIVE)) {
    const outer = region.parentElement.closest(`${LIVE}, [aria-live=off]`);
    if (outer?.matches(LIVE)) fault(region, 'speaks twice, because it is in', describe(outer));
  }
}

// ---- Language ----

function auditLanguage(element, text, { language }) {
  const words = text.replace(PROPER_NAMES, '').replace(/\bhttps?:\S+/g, '');
  const han = /\p{sc=Han}/u.test(words);
  const latin = /[a-z]{2}/i.test(words);
  if (language === 'zh' && latin && !han) fault(element, 'is not in Chinese', text.trim());
  if (language === 'en' && han) fault(element, 'is not in English', text.trim());
}

function auditDocument(options) {
  const { lang } = document.documentElement;
  if (!lang) fault(document.documentElement, 'has no lang');
  else if (lang.split('-')[0] !== options.language) {
    fault(document.documentElement, 'has another lang', lang);
  }
  if (!document.title.trim()) fault(document.documentElement, 'has no title');
  const viewport = document.querySelector('meta[name=viewport]')?.content ?? '';
  if (/user-scalable\s*=\s*(no|0)|maximum-scale/.test(viewport)) {
    fault(document.documentElement, 'forbids zoom', viewport);
  }
}

// ---- Contrast ----

function auditText({ element, node }, options) {
  const style = styleOf(element);
  if (!element.closest(`${STRANGERS}, [aria-hidden=true]`)) auditLanguage(element, node.data, options);
  if (isDisabled(element)) return;
  const opacity = opacityOf(element);
  if (opacity < 1) fault(element, 'is pale', `opacity ${rounded(opacity)}`);
  const under = backgroundOf(element);
  auditContrast(element, style, over(colourOf(style.color), under), under, '');
}

function auditContrast(element, style, colour, under, what) {
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  const seen = ratio(colour, under);
  if (seen < (large ? LEAST_LARGE_TEXT : LEAST_TEXT)) {
    fault(element, `${what}contrast`, `${rounded(seen)} (${hex(colour)} on ${hex(under)})`);
  }
}

function auditPlaceholder(field) {
  if (!field.placeholder || isDisabled(field)) return;
  const style = styleOf(field, '::placeholder');
  const under = backgroundOf(field);
  const [red, green, blue, alpha] = colourOf(style.color);
  auditContrast(field, style, over([red, green, blue, alpha * style.opacity], under), under, 'placeholder ');
}

// Text that the style sheet makes is not copied, not found, and not translated.
function auditPseudo(element) {
  for (const pseudo of ['::before', '::after']) {
    const style = styleOf(element, pseudo);
    if (/[\p{L}\p{N}]/u.test(style.content.replace(/^(none|normal|counters?\(.*\))$|attr\(|url\(.*\)/g, ''))
        && style.visibility === 'visible' && style.display !== 'none') {
      fault(element, `${pseudo} has text`, style.content);
    }
  }
}

// Audits the contrast once more with all rules in force that apply only under the pointer.
function auditHover(root, usable, options) {
  const changed = [];
  const force = (rules) => {
    for (const rule of rules) {
      if (rule.selectorText?.includes(':hover')) {
        changed.push([rule, rule.selectorText]);
        rule.selectorText = rule.selectorText.replaceAll(':hover', ':not(.never)');   // as specific
      }
      force(rule.cssRules ?? []);
    }
  };
  for (const sheet of document.styleSheets) force(sheet.cssRules);
  const atRest = faults;
  faults = new Set();
  endTransitions();
  for (const run of textRuns(root)) auditText(run, options);
  for (const control of usable) auditIcon(control);
  const found = [...faults].filter((line) => !atRest.has(line));
  for (const [rule, selector] of changed) rule.selectorText = selector;
  faults = new Set([...atRest, ...found.map((line) => `${line}, under the pointer`)]);
  endTransitions();
}

// In the middle of a transition, an element has the look of neither end.
function endTransitions() {
  for (const animation of document.getAnimations()) {
    if (animation instanceof CSSTransition) animation.finish();
  }
}

// An icon is a control's only sign if the control has no text.
function auditIcon(control) {
  if (isDisabled(control)) return;
  const shapes = [...control.querySelectorAll(SHAPES)].filter(isDrawn);
  if (!shapes.length || textRuns(control).length) return;
  const under = backgroundOf(control);
  const best = Math.max(...shapes.flatMap((shape) => {
    const { stroke, fill, opacity } = styleOf(shape);
    return [stroke, fill].filter((paint) => paint !== 'none').map((paint) => {
      const [red, green, blue, alpha] = colourOf(paint);
      return ratio(over([red, green, blue, alpha * opacity], under), under);
    });
  }));
  if (best < LEAST_SHAPE) fault(control, 'icon contrast', rounded(best));
  if (opacityOf(control) < 1) fault(control, 'is pale', `opacity ${rounded(opacityOf(control))}`);
}

const isDrawn = (shape) => styleOf(shape).display !== 'none' && styleOf(shape).visibility === 'visible';

// A field is seen by its border or by its fill; the border can be that of a box around it.
function auditEdge(field) {
  if (isDisabled(field) || ['checkbox', 'radio', 'range', 'file', 'color'].includes(field.type)) return;
  let best = 0;
  for (let at = field, i = 0; at && i < 4 && at !== document.body; at = at.parentElement, i += 1) {
    const style = styleOf(at);
    const outside = backgroundOf(at.parentElement);
    best = Math.max(best, ratio(backgroundOf(at), outside));
    for (const side of ['top', 'right', 'bottom', 'left']) {
      const [kind, width, colour] = ['style', 'width', 'color'].map((part) => style[`border-${side}-${part}`]);
      if (kind === 'none' || parseFloat(width) === 0) continue;
      best = Math.max(best, ratio(over(colourOf(colour), outside), outside));
    }
  }
  if (best < LEAST_SHAPE) fault(field, 'edge contrast', rounded(best));
}

// ---- Sizes and layout ----

// Some targets are larger than their box, because a pseudo-element catches clicks around it.
function isHitAround(control, least) {
  const { left, top, width, height } = control.getBoundingClientRect();
  const reach = (size) => Math.max(size, least) / 2 - 0.25;
  const [x, y] = [left + width / 2, top + height / 2];
  return [[-1, 0], [1, 0], [0, -1], [0, 1]].every(([right, down]) =>
    control.contains(document.elementFromPoint(x + right * reach(width), y + down * reach(height))));
}

function auditTarget(control, { touch, low }) {
  if (isUnseen(control)) return;
  const inText = styleOf(control).display === 'inline' && control.matches('a')
    && control.parentElement.textContent.trim() !== control.textContent.trim();
  const least = touch ? (low ? 40 : 44) : 24;
  const { width, height } = control.getBoundingClientRect();
  const size = `${rounded(width)} × ${rounded(height)}`;
  if (!inText && !control.closest('pre, .text') && Math.min(width, height) < least - 0.1
      && !isHitAround(control, least)) {
    fault(control, `is smaller than ${least}`, size);
  }
  if (touch && control.matches(FIELDS) && parseFloat(styleOf(control).fontSize) < 16) {
    fault(control, 'makes phones zoom in', styleOf(control).fontSize);
  }
}

const isScroller = (style, axis) => ['auto', 'scroll'].includes(style[`overflow-${axis}`]);
const isClipper = (style, axis) => ['hidden', 'clip'].includes(style[`overflow-${axis}`]);

// Finds text that an ancestor or the window cuts off and that no scrolling can bring back.
function auditClipping({ element, rects }) {
  const bounds = {
    left: Math.min(...rects.map((rect) => rect.left)), right: Math.max(...rects.map((rect) => rect.right)),
    top: Math.min(...rects.map((rect) => rect.top)), bottom: Math.max(...rects.map((rect) => rect.bottom)),
  };
  const slack = { x: parseFloat(styleOf(element).fontSize) / 2, y: 3 };   // a space may hang over the edge
  const open = new Set(['x', 'y']);   // the directions in which nothing scrolls so far
  for (let at = element; at && at !== document.documentElement && open.size; at = at.parentElement) {
    const style = styleOf(at);
    const box = at.getBoundingClientRect();
    const cut = { x: Math.max(box.left - bounds.left, bounds.right - box.right),
      y: Math.max(box.top - bounds.top, bounds.bottom - box.bottom) };
    for (const axis of [...open]) {
      if (isScroller(style, axis)) open.delete(axis);
      else if (isClipper(style, axis) && cut[axis] > slack[axis]) {
        const short = style.textOverflow === 'ellipsis' && element.closest('[title]');
        if (!short) fault(element, 'is cut off', `${Math.round(cut[axis])}px of ${axis}`);
        open.delete(axis);
      }
    }
    if (style.position === 'fixed') break;
  }
  if (open.has('x') && (bounds.left < -1 || bounds.right > document.documentElement.clientWidth + 1)) {
    fault(element, 'is outside the window', `${Math.round(bounds.left)} to ${Math.round(bounds.right)}`);
  }
}

// Finds texts that are drawn over each other: both are under the same point, and what lies above
// the lower one has no background that would hide it.
function auditOverlaps(runs) {
  const boxes = runs.flatMap(({ element, rects }) => rects.map((rect) => ({ element, rect })))
    .filter(({ rect }) => rect.bottom > 0 && rect.top < innerHeight);
  for (const [i, one] of boxes.entries()) {
    for (const other of boxes.slice(i + 1)) {
      const left = Math.max(one.rect.left, other.rect.left);
      const right = Math.min(one.rect.right, other.rect.right);
      const top = Math.max(one.rect.top, other.rect.top);
      const bottom = Math.min(one.rect.bottom, other.rect.bottom);
      if (right - left < 3 || bottom - top < 5 || one.element === other.element) continue;
      const stack = document.elementsFromPoint((left + right) / 2, (top + bottom) / 2);
      const places = [one, other].map(({ element }) => stack.indexOf(element)).sort((a, b) => a - b);
      if (places[0] < 0) continue;
      const opaque = stack.slice(places[0], places[1])
        .some((element) => colourOf(styleOf(element).backgroundColor)[3] === 1);
      if (!opaque) fault(one.element, 'is drawn over', describe(other.element));
    }
  }
}

function auditScrolling(root) {
  const { scrollWidth, clientWidth } = document.documentElement;   // innerWidth grows on a phone
  if (scrollWidth > clientWidth) {
    fault(document.documentElement, 'scrolls sideways', `${scrollWidth} > ${clientWidth}`);
  }
  for (const element of root.querySelectorAll('*')) {
    const style = styleOf(element);
    if (!isVisible(element) || element.matches('textarea, input')) continue;
    const wide = isScroller(style, 'x') && element.scrollWidth > element.clientWidth + 1;
    const high = isScroller(style, 'y') && element.scrollHeight > element.clientHeight + 1;
    if (wide && !element.matches('pre, code')) {
      fault(element, 'scrolls sideways', `${element.scrollWidth} > ${element.clientWidth}`);
    }
    const reachable = element.tabIndex >= 0 || [...element.querySelectorAll(CONTROLS)].some((control) =>
      control.tabIndex >= 0 && isVisible(control));
    if ((wide || high) && !reachable) fault(element, 'scrolls, but not by keyboard');
  }
}

function auditMotion(root) {
  if (!matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  const seconds = (text) => Math.max(...text.split(',').map((part) =>
    parseFloat(part) / (part.includes('ms') ? 1000 : 1)));
  for (const element of root.querySelectorAll('*')) {
    const style = styleOf(element);
    if (seconds(style.transitionDuration) > 0.01) {
      fault(element, 'moves', `transition ${style.transitionDuration}`);
    }
    if (style.animationName !== 'none' && seconds(style.animationDuration) > 0.01) {
      fault(element, 'moves', `animation ${style.animationName}`);
    }
    if (style.scrollBehavior === 'smooth') fault(element, 'moves', 'smooth scrolling');
  }
}

// With forced colours, the browser paints all backgrounds in the same colour. A shape that is only
// a background is gone then.
function auditForced(root) {
  if (!matchMedia('(forced-colors: active)').matches) return;
  const isDot = ({ backgroundColor, width, height, borderTopWidth }) =>
    backgroundColor !== 'rgba(0, 0, 0, 0)' && parseFloat(width) > 0 && parseFloat(width) <= 16
    && parseFloat(height) <= 16 && parseFloat(borderTopWidth) === 0;
  for (const element of root.querySelectorAll('*')) {
    if (!isVisible(element)) continue;
    const under = backgroundOf(element.parentElement ?? element);
    const gone = (style) => isDot(style)
      && ratio(over(colourOf(style.backgroundColor), under), under) < LEAST_SHAPE;
    if (!element.childNodes.length && !element.matches('svg *, img, input') && gone(styleOf(element))) {
      fault(element, 'vanishes with forced colours');
    }
    for (const pseudo of ['::before', '::after']) {
      const style = styleOf(element, pseudo);
      if (style.content === '""' && gone(style)) fault(element, `${pseudo} vanishes with forced colours`);
    }
  }
}

// ---- The audit at rest ----

// Returns [element, role, name] for each element, or null if the tree is of an older document.
function joinTree(tree) {
  const all = [...document.querySelectorAll('*')];
  if (all.length !== tree.length || all.some((element, i) => element.localName !== tree[i][0])) return null;
  return all.map((element, i) => [element, tree[i][1] ?? '', tree[i][2] ?? '']);
}

// Finds what shows a hand under the pointer, but is no control.
function auditPointer(root) {
  for (const element of root.querySelectorAll('*')) {
    if (styleOf(element).cursor === 'pointer' && isVisible(element)
        && !element.closest(`${CONTROLS}, label, [tabindex]`)) {
      fault(element, 'looks like a control, but is none');
      return;
    }
  }
}

function auditPage(tree, options) {
  const nodes = joinTree(tree);
  if (!nodes) return null;
  const root = document.querySelector(':modal') ?? document.body;
  const shown = nodes.filter(([element]) => root.contains(element) && isVisible(element)
    && !element.closest('[inert]'));
  const usable = shown.filter(([element]) => element.matches(CONTROLS) || element.tabIndex >= 0);
  const runs = textRuns(root);

  for (const [element, role, name] of usable) auditName(element, role, name, options);
  for (const [element, role, name] of shown) auditPromised(element, role, name, options);
  auditUnique(usable);
  auditMarkup(root);
  auditHeadings(shown);
  auditLandmarks(runs);
  auditLive();
  auditDocument(options);
  auditPointer(root);
  for (const run of runs) {
    auditText(run, options);
    auditClipping(run);
  }
  auditOverlaps(runs);
  for (const [element] of shown) auditPseudo(element);
  for (const [element] of usable) {
    auditTarget(element, options);
    auditIcon(element);
    if (!element.matches(FIELDS)) continue;
    auditForm(element);
    auditPlaceholder(element);
    auditEdge(element);
  }
  auditScrolling(root);
  auditMotion(root);
  auditForced(root);
  auditHover(root, usable.map(([element]) => element), options);
  return [...faults];
}

// ---- The audit of the focus ----

const SIGNS = ['outline-style', 'outline-width', 'outline-color', 'outline-offset', 'border-top-color',
  'border-top-width', 'border-bottom-color', 'border-bottom-width', 'box-shadow', 'background-color'];

// The focus can show on the element or on a box around it, such as that of a text box.
function around(element) {
  const list = [];
  for (let at = element; at && at !== document.body && list.length < 4; at = at.parentElement) list.push(at);
  return list;
}

const signsOf = (element) => Object.fromEntries(SIGNS.map((sign) => [sign, styleOf(element)[sign]]));

// Records each element that gets the focus, and how it looks a frame later.
function watchFocus() {
  const last = document.activeElement;
  last?.blur();
  const before = new Map([...document.body.querySelectorAll('*')]
    .map((element) => [element, signsOf(element)]));
  const stops = [];
  const end = new AbortController();
  const expected = tabbable(document.querySelector(':modal') ?? document.body);
  window.auditedFocus = { stops, expected, last, end };
  document.addEventListener('focusin', (event) => {
    const stop = { element: event.target, faults: [] };
    stops.push(stop);
    requestAnimationFrame(() => {
      if (document.activeElement !== stop.element) return;
      faults = new Set();
      endTransitions();
      auditStop(stop.element, before);
      stop.faults = [...faults];
    });
  }, { signal: end.signal });
  return expected.length;
}

// Returns the part of an element that its scrolling ancestors and the window show.
function visiblePart(element) {
  let { left, top, right, bottom } = element.getBoundingClientRect();
  for (let at = element.parentElement; at; at = at.parentElement) {
    if (styleOf(at).overflow === 'visible' && at !== document.documentElement) continue;
    const box = at === document.documentElement
      ? { left: 0, top: 0, right: innerWidth, bottom: innerHeight } : at.getBoundingClientRect();
    left = Math.max(left, box.left);
    top = Math.max(top, box.top);
    right = Math.min(right, box.right);
    bottom = Math.min(bottom, box.bottom);
  }
  return { left, top, right, bottom };
}

function auditStop(element, before) {
  const { left, top, right, bottom } = visiblePart(element);
  const middle = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  if (!element.contains(middle)) {
    fault(element, 'is covered when it has the focus', middle ? describe(middle) : '');
  }
  const changed = around(element).find((at) => {
    const now = signsOf(at);
    const old = before.get(at);
    return (now['outline-style'] !== 'none' && parseFloat(now['outline-width']) > 0 && at === element)
      || (old && SIGNS.some((sign) => !sign.startsWith('outline') && now[sign] !== old[sign]))
      || (old && now['outline-style'] !== 'none' && now['outline-style'] !== old['outline-style']);
  });
  if (!changed) {
    fault(element, 'does not show the focus');
    return;
  }
  auditRing(element, changed, before.get(changed));
}

// The ring must stand out from what is beside it, and an ancestor may not cut it off.
function auditRing(element, at, old) {
  const now = signsOf(at);
  if (now['outline-style'] === 'auto') return;
  const outside = backgroundOf(at.parentElement ?? at);
  if (now['outline-style'] !== 'none') {
    const offset = parseFloat(now['outline-offset']);
    const under = offset < 0 ? backgroundOf(at) : outside;
    const seen = ratio(over(colourOf(now['outline-color']), under), under);
    if (seen < LEAST_SHAPE) fault(element, 'focus contrast', rounded(seen));
    auditRingClipping(element, at, offset + parseFloat(now['outline-width']));
    return;
  }
  const signs = ['border-top-color', 'border-bottom-color', 'background-color']
    .filter((sign) => now[sign] !== old[sign])
    .map((sign) => ratio(over(colourOf(now[sign]), outside), outside));
  if (signs.length && Math.max(...signs) < LEAST_SHAPE) {
    fault(element, 'focus contrast', rounded(Math.max(...signs)));
  }
}

function auditRingClipping(element, at, reach) {
  const ring = at.getBoundingClientRect();
  const cut = new Set();
  for (let outer = at.parentElement; outer && outer !== document.body; outer = outer.parentElement) {
    const style = styleOf(outer);
    const box = outer.getBoundingClientRect();
    if (isScroller(style, 'x') || isClipper(style, 'x')) {
      if (ring.left - reach < box.left - 0.5) cut.add('left');
      if (ring.right + reach > box.right + 0.5) cut.add('right');
    }
    if (isScroller(style, 'y') || isClipper(style, 'y')) {
      if (ring.top - reach < box.top - 0.5) cut.add('top');
      if (ring.bottom + reach > box.bottom + 0.5) cut.add('bottom');
    }
    if (style.position === 'fixed') break;
  }
  if (ring.left - reach < -0.5) cut.add('left');
  if (ring.right + reach > innerWidth + 0.5) cut.add('right');
  if (cut.size > 1) fault(element, 'its focus ring is cut off', [...cut].join(' '));
}

// Elements that the Tab key should reach. Of a group of radio buttons it reaches one.
function tabbable(root) {
  return [...root.querySelectorAll('*')].filter((element) => element.tabIndex >= 0
    && element.matches(`${CONTROLS}, [tabindex]`) && isVisible(element) && !element.matches(':disabled')
    && !element.closest('[inert]') && element.type !== 'radio');
}

function auditOrder(stops) {
  for (let i = 1; i < stops.length; i += 1) {
    const [one, other] = [stops[i - 1], stops[i]];
    if (!(one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING)) {
      fault(other, 'gets the focus too late, after', describe(one));
    }
    const [from, to] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
    const landmark = (element) =>
      element.closest('main, nav, aside, header, footer, form, dialog, [popover]');
    const floats = [one, other].some((element) => /absolute|fixed/.test(styleOf(element).position));
    if (landmark(one) !== landmark(other) || one.contains(other) || floats) continue;
    const above = to.bottom <= from.top && to.left < from.right && from.left < to.right;
    const before = to.right <= from.left && to.top < from.bottom && from.top < to.bottom;
    if (above || before) fault(other, 'gets the focus against the visible order, after', describe(one));
  }
}

// Audits the stops up to the first that comes again, and gives the focus back. The walk can begin
// anywhere, since the browser goes on from where the focus was; then it comes to the start later.
function auditFocus() {
  const root = document.querySelector(':modal') ?? document.body;
  const { stops, expected, last, end } = window.auditedFocus;
  end.abort();
  last?.focus();
  const seen = new Set();
  for (const { element } of stops) {
    if (seen.has(element)) break;
    seen.add(element);
  }
  faults = new Set(stops.slice(0, seen.size).flatMap((stop) => stop.faults));
  const walk = [...seen];
  const start = walk.findIndex((element) => walk.every((other) => other === element
    || element.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING));
  auditOrder([...walk.slice(start), ...walk.slice(0, start)]);
  const still = new Set(tabbable(root));
  for (const element of expected) {
    if (still.has(element) && !seen.has(element)) fault(element, 'is not reached with Tab');
  }
  for (const element of seen) {
    if (!root.contains(element)) fault(element, 'gets the focus behind a dialog');
  }
  return [...faults];
}
