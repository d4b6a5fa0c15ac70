// The words of the page, one table a language. Of two forms with a '|' between them, the first is
// for the number 1.

const en = {
  messages: 'Messages', name: 'Name', message: 'Message', room: 'Room', send: 'Send',
  older: 'Load older', retryNow: 'Retry now', notifications: 'Notifications',
  menu: 'Rooms and people', close: 'Close', conversation: 'Conversation',

  changeName: 'Change name', anonymous: 'anonymous', you: 'you', away: 'away', hidden: 'hidden',
  nameLong: 'This name is too long.',
  people: 'People', mention: 'Mention {name}', hide: 'Hide {name}', show: 'Show {name}',
  hideHint: 'Hides messages in this browser only. The server’s operator can remove them for all.',

  rooms: 'Rooms', otherRooms: 'Other rooms', enter: 'Enter',
  leave: 'Leave {room}', copyLink: 'Copy link', copied: 'Link copied',
  online: '{n} online', unread: '{n} unread',
  roomBad: 'A room’s name cannot have commas or slashes.',
  roomsFull: 'Leave one of your {n} rooms first.',

  token: 'Token', tokenBad: 'This is not a token.', signIn: 'Sign in',
  signInWhy: 'This chat needs an invitation. Open the link you were given, or paste your token.',
  switchTitle: 'This link signs you in as someone else', switchTo: 'Switch', keep: 'Keep mine',
  switchWhy: 'You are signed in as {old}, the link is for {new}. Keep yours if in doubt.',

  empty: 'No messages yet. Write the first one, or send the link to others.',
  newMessages: '{n} new message|{n} new messages', newSince: 'New messages', toEnd: 'Newest message',
  gap: 'Some messages were missed: {reason}',
  'gap.expired': 'the server no longer keeps them.',
  'gap.restarted': 'the server was restarted.',
  'gap.unknown': 'the server does not know where you stopped.',

  messageTo: 'Message to {room}', blank: 'Write something first.',
  left: '{n} character left|{n} characters left',
  over: '{n} character too many|{n} characters too many',
  sending: 'sending', failed: 'failed', unsent: 'not sent yet', retry: 'Retry', edit: 'Edit',

  connecting: 'Connecting…', connected: 'Connected', reconnecting: 'Reconnecting…',
  notConnected: 'Not connected', offline: 'Offline', full: 'Server full',
  nextTry: 'Next attempt in {n} s.',
  'why.lost': 'The connection was lost.',
  'why.full': 'You get in as soon as a place is free.',
  'why.address': 'Too many connections come from your network.',
  'why.rooms': 'The server has no place for another room.',
  'why.draining': 'The server is restarting.',
  'why.unreachable': 'The server does not answer.',
  'status.401': 'Your sign-in is missing or has expired.',
  'status.403': 'You have no permission to do this here.',
  'status.413': 'The message is too large.',
  'status.429': 'Too much at once. Please wait a moment.',
  'status.503': 'The server is too busy at the moment.',
  'status.507': 'The server’s disk is full.',
  status: 'The server answered {status}.',

  mentioned: '{name} mentioned you in {room}',
  notifyBlocked: 'Your browser blocks notifications of this page.',
};

const zh = {
  messages: '消息', name: '昵称', message: '消息', room: '房间', send: '发送', older: '更早',
  retryNow: '立即重试', notifications: '通知', menu: '房间和成员', close: '关闭', conversation: '对话',

  changeName: '修改昵称', anonymous: '匿名', you: '我', away: '不在', hidden: '已隐藏',
  nameLong: '名称太长。', people: '成员', mention: '提及 {name}', hide: '隐藏 {name}',
  show: '取消隐藏 {name}', hideHint: '只在这个浏览器里隐藏消息。服务器管理员可以为所有人移除消息。',

  rooms: '房间', otherRooms: '其他房间', enter: '进入', leave: '离开 {room}',
  copyLink: '复制链接', copied: '链接已复制', online: '{n} 人在线', unread: '{n} 条未读',
  roomBad: '房间名不能含逗号或斜杠。',
  roomsFull: '请先离开 {n} 个房间中的一个。',

  token: '令牌', tokenBad: '这不是令牌。', signIn: '登录',
  signInWhy: '这个聊天需要邀请。请打开你收到的链接，或在这里粘贴令牌。',
  switchTitle: '此链接将以另一身份登录', switchTo: '切换', keep: '保留',
  switchWhy: '你现在的身份是 {old}，链接的身份是 {new}。如有疑问，请保留现在的身份。',

  empty: '还没有消息。写下第一条，或把链接发给别人。', newMessages: '{n} 条新消息',
  newSince: '以下是新消息', toEnd: '最新消息', gap: '有些消息遗漏了：{reason}',
  'gap.expired': '服务器已不再保留它们。', 'gap.restarted': '服务器重启过。',
  'gap.unknown': '服务器不知道你上次读到哪里。',

  messageTo: '发消息到 {room}', blank: '先写点什么吧。', left: '还可输入 {n} 个字符',
  over: '超出 {n} 个字符', sending: '发送中', failed: '失败', unsent: '尚未发送', retry: '重试', edit: '编辑',

  connecting: '正在连接…', connected: '已连接', reconnecting: '正在重连…', notConnected: '未连接',
  offline: '连接已断开', full: '服务器已满', nextTry: '{n} 秒后重试。', 'why.lost': '连接中断了。',
  'why.full': '一有空位就会让你进来。', 'why.address': '你的网络连接数太多。',
  'why.rooms': '服务器暂时不能再开房间。', 'why.draining': '服务器正在重启。',
  'why.unreachable': '服务器没有响应。',
  'status.401': '还没有登录，或登录已过期。', 'status.403': '你没有权限这样做。',
  'status.413': '消息太长。', 'status.429': '操作太快了，请稍等。', 'status.503': '服务器现在太忙。',
  'status.507': '服务器的磁盘满了。', status: '服务器返回了 {status}。',

  mentioned: '{name} 在 {room} 提到了你', notifyBlocked: '浏览器不允许本页发通知。',
};

export const tables = { en, zh };

export const languageFor = (tag) => (/^zh\b/i.test(tag) ? 'zh' : 'en');
export const localeFor = (tag) => (/^(en|zh)\b[\w-]*$/i.test(tag) ? tag : 'en-GB');

const browser = globalThis.navigator?.language;
export const words = { language: languageFor(browser), locale: localeFor(browser) };

export function t(key, values = {}) {
  const [one, other = one] = (tables[words.language][key] ?? key).split('|');
  return (values.n === 1 ? one : other).replace(/\{(\w+)\}/g,
    (whole, name) => (values[name] ?? whole).toLocaleString(words.locale));
}

const known = (key, otherwise) => (en[key] ? t(key) : otherwise);

// Explains a `why` or a `status` of stream.js or outbox.js; an unknown one in the server's own words.
export const whyText = ({ why, status, detail }) =>
  known(status ? `status.${status}` : `why.${why}`,
    detail || t(status ? 'status' : 'why.unreachable', { status }));

export const gapText = (gap) =>
  t('gap', { reason: known(`gap.${gap.reason}`, t('gap.unknown')) });

export function translate(root) {
  document.documentElement.lang = words.language;
  const attributes = { t: '', label: 'aria-label', placeholder: 'placeholder' };
  for (const [name, attribute] of Object.entries(attributes)) {
    for (const element of root.querySelectorAll(`[data-${name}]`)) {
      const text = t(element.dataset[name]);
      if (attribute) element.setAttribute(attribute, text);
      else element.textContent = text;
    }
  }
}
