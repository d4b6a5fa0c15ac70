# A client of ssechat with Ruby's net/http.
#
#     ruby client.rb follow 'http://127.0.0.1:8080/events?room=lobby'
#     echo '{"message":"hello"}' | ruby client.rb post http://127.0.0.1:8080/messages KEY

require 'json'
require 'net/http'

$stdout.sync = true

# Reads Server-Sent Events, wherever the network cuts them (HTML Standard, 9.2.6).
class Reader
  attr_reader :last_id # send it as Last-Event-ID when you reconnect
  attr_reader :retry   # wait so many seconds before that; the server changes it

  def initialize
    @last_id = ''.b
    @retry = 1
  end

  # Starts a connection: drops the event that the last connection left unfinished.
  def begin
    @line, @first, @after_cr = ''.b, true, false
    @event, @id, @data = ''.b, @last_id, []
  end

  # Yields each event that this piece of bytes completes.
  def feed(piece, &block)
    piece = piece.b
    piece = piece.delete_prefix("\n") if @after_cr # the second half of a CRLF
    @after_cr = piece.end_with?("\r")
    *lines, @line = (@line + piece).split(/\r\n|\r|\n/, -1)
    @line ||= ''.b
    lines.each do |line|
      line = line.delete_prefix("\xEF\xBB\xBF".b) if @first # a byte order mark
      @first = false
      line.empty? ? dispatch(&block) : take(line)
    end
  end

  private

  def take(line)
    name, value = line.split(':', 2) # a comment has an empty name, which is ignored
    value = (value || ''.b).delete_prefix(' ')
    case name
    when 'event' then @event = value
    when 'data' then @data << value
    when 'id' then @id = value unless value.include?("\0")
    when 'retry' then @retry = value.to_i / 1000.0 if value.match?(/\A[0-9]+\z/)
    end
  end

  def dispatch
    @last_id = @id # only now: an event that is cut off must be sent again
    unless @data.empty?
      event = { event: @event.empty? ? 'message' : @event, id: @id, data: @data.join("\n") }
      yield event.transform_values { |text| text.dup.force_encoding('UTF-8').scrub }
    end
    @event, @data = ''.b, []
  end
end

# Ends the program with what the server says about an error: the `detail` of its problem+json.
def fail_with(answer)
  abort "#{answer.code} #{JSON.parse(answer.body)['detail']}"
rescue JSON::ParserError
  abort "#{answer.code} #{answer.message}"
end

# Tells whether a later attempt can succeed. Proxies also send 408 and 429.
def temporary?(answer)
  answer.code >= '500' || %w[408 429].include?(answer.code)
end

# Opens the stream once and prints its events. Returns for how many seconds a refusal asks to wait.
def connect(uri, reader)
  fields = { 'Accept' => 'text/event-stream', 'Accept-Encoding' => 'identity' }
  request = Net::HTTP::Get.new(uri, fields)
  request['Last-Event-ID'] = reader.last_id unless reader.last_id.empty?
  # The server sends a heartbeat every 15 seconds: a connection that is silent for 45 is dead.
  options = { use_ssl: uri.scheme == 'https', open_timeout: 10, read_timeout: 45, max_retries: 0 }
  Net::HTTP.start(uri.host, uri.port, options) do |http|
    http.request(request) do |answer|
      exit if answer.code == '204' # there is nothing more to come
      is_stream = answer['Content-Type'].to_s.start_with?('text/event-stream')
      fail_with(answer) unless temporary?(answer) || (answer.code == '200' && is_stream)
      next if answer.code != '200'

      reader.begin
      answer.read_body { |piece| reader.feed(piece) { |event| puts JSON.generate(event) } }
    end['Retry-After'].to_i
  end
end

# Prints the events of a stream. If the connection is lost, it resumes where it stopped.
def follow(uri)
  reader = Reader.new
  loop do
    wait = 0
    begin
      wait = connect(uri, reader)
    rescue IOError, SystemCallError, SocketError, Timeout::Error, OpenSSL::SSL::SSLError,
           Net::HTTPBadResponse => e
      warn "reconnecting: #{e.message}"
    end
    sleep [reader.retry, wait].max
  end
end

# Publishes a message. After a lost connection, repeat this with the same key.
def post(uri, body, key)
  request = Net::HTTP::Post.new(uri, 'Content-Type' => 'application/json')
  request['Idempotency-Key'] = key if key
  request.body = body
  options = { use_ssl: uri.scheme == 'https', read_timeout: 30, max_retries: 0 }
  answer = Net::HTTP.start(uri.host, uri.port, options) { |http| http.request(request) }
  fail_with(answer) unless answer.is_a?(Net::HTTPSuccess)
  puts "#{answer.code} #{JSON.parse(answer.body)['id']}"
end

command, url, key = ARGV
command == 'follow' ? follow(URI(url)) : post(URI(url), $stdin.read, key)
