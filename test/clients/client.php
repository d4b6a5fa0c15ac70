<?php
// A client of ssechat with PHP's curl extension.
//
//     php client.php follow 'http://127.0.0.1:8080/events?room=lobby'
//     echo '{"message":"hello"}' | php client.php post http://127.0.0.1:8080/messages KEY

// Reads Server-Sent Events, wherever the network cuts them (HTML Standard, 9.2.6).
class Reader
{
    public string $lastId = '';  // send it as Last-Event-ID when you reconnect
    public int $retry = 1000;    // wait so many milliseconds before that; the server changes it

    // Starts a connection: drops the event that the last connection left unfinished.
    public function begin(): void
    {
        [$this->line, $this->first, $this->afterCr] = ['', true, false];
        [$this->event, $this->id, $this->data] = ['', $this->lastId, []];
    }

    // Yields the events that this piece completes.
    public function feed(string $piece): Generator
    {
        if ($this->afterCr && $piece[0] === "\n") {
            $piece = substr($piece, 1);  // the second half of a CRLF
            $this->afterCr = false;
        }
        $this->afterCr = $piece === '' ? $this->afterCr : $piece[-1] === "\r";
        $lines = preg_split('/\r\n|\r|\n/', $this->line . $piece);
        $this->line = array_pop($lines);
        foreach ($lines as $line) {
            // A byte order mark at the beginning is not part of the first line.
            $line = $this->first ? preg_replace('/^\xEF\xBB\xBF/', '', $line) : $line;
            $this->first = false;
            if ($line !== '') {
                $this->take(...explode(':', $line, 2));
                continue;
            }
            $this->lastId = $this->id;  // only now: an event that is cut off must be sent again
            if ($this->data) {
                $name = $this->event === '' ? 'message' : $this->event;
                yield ['event' => $name, 'id' => $this->id, 'data' => implode("\n", $this->data)];
            }
            [$this->event, $this->data] = ['', []];
        }
    }

    private function take(string $name, string $value = ''): void
    {
        $value = preg_replace('/^ /', '', $value);
        if ($name === 'event') {
            $this->event = $value;
        } elseif ($name === 'data') {
            $this->data[] = $value;
        } elseif ($name === 'id' && !str_contains($value, "\0")) {
            $this->id = $value;
        } elseif ($name === 'retry' && ctype_digit($value)) {
            $this->retry = (int) $value;
        }
    }

    private string $line, $event, $id;
    private bool $first, $afterCr;
    private array $data;
}

// Ends the program with what the server says about an error: the `detail` of its problem+json.
function fail(int $status, string $body): never
{
    $detail = json_decode($body)->detail ?? "the answer is not from ssechat";
    fwrite(STDERR, "$status $detail\n");
    exit(1);
}

// Prints the events of a stream. If the connection is lost, it resumes where it stopped.
function follow(string $url): void
{
    for ($reader = new Reader();; usleep(max($reader->retry, $wait) * 1000)) {
        $reader->begin();
        $error = '';
        $curl = curl_init($url);
        curl_setopt_array($curl, [
            CURLOPT_HTTPHEADER => ['Accept: text/event-stream',
                ...$reader->lastId === '' ? [] : ["Last-Event-ID: $reader->lastId"]],
            CURLOPT_CONNECTTIMEOUT => 10,
            // The server sends a heartbeat every 15 seconds: a connection that is silent for 45 is
            // dead.
            CURLOPT_LOW_SPEED_LIMIT => 1,
            CURLOPT_LOW_SPEED_TIME => 45,
            CURLOPT_WRITEFUNCTION => function ($curl, $piece) use ($reader, &$error) {
                if (!is_stream($curl)) {
                    $error .= $piece;
                    return strlen($piece);
                }
                foreach ($reader->feed($piece) as $event) {
                    echo json_encode($event, JSON_INVALID_UTF8_SUBSTITUTE), "\n";
                }
                return strlen($piece);
            },
        ]);
        curl_exec($curl);
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);  // 0 if there was no answer
        if ($status === 204) {
            return;  // there is nothing more to come
        }
        $wait = curl_getinfo($curl, CURLINFO_RETRY_AFTER) * 1000;  // 0 if it is absent
        if ($status > 0 && !is_temporary($status) && !is_stream($curl)) {
            fail($status, $error);
        }
        fwrite(STDERR, "reconnecting: $status " . curl_error($curl) . "\n");
    }
}

// Tells whether a later attempt can succeed. Proxies also send 408 and 429.
function is_temporary(int $status): bool
{
    return $status >= 500 || $status === 408 || $status === 429;
}

function is_stream(CurlHandle $curl): bool
{
    return curl_getinfo($curl, CURLINFO_RESPONSE_CODE) === 200
        && str_starts_with(curl_getinfo($curl, CURLINFO_CONTENT_TYPE) ?? '', 'text/event-stream');
}

// Publishes a message. After a lost connection, repeat this with the same key.
function post(string $url, string $body, ?string $key): void
{
    $curl = curl_init($url);
    curl_setopt_array($curl, [
        CURLOPT_POSTFIELDS => $body,
        CURLOPT_HTTPHEADER => ['Content-Type: application/json',
            ...$key !== null ? ["Idempotency-Key: $key"] : []],
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 30,
    ]);
    $answer = curl_exec($curl);
    $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
    if ($answer === false) {
        fwrite(STDERR, curl_error($curl) . "\n");
        exit(1);
    }
    if ($status >= 300) {
        fail($status, $answer);
    }
    echo $status, ' ', json_decode($answer)->id, "\n";
}

if ($argv[1] === 'follow') {
    follow($argv[2]);
} else {
    post($argv[2], stream_get_contents(STDIN), $argv[3] ?? null);
}
