// A client of ssechat with Java's own HttpClient.
//
//     java Client.java follow 'http://127.0.0.1:8080/events?room=lobby'
//     echo '{"message":"hello"}' | java Client.java post http://127.0.0.1:8080/messages KEY

import java.io.*;
import java.net.URI;
import java.net.http.*;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.*;

public class Client {
    static final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1)
        .connectTimeout(Duration.ofSeconds(10)).build();
    // Sent as Last-Event-ID when the client reconnects. The ids of ssechat are ASCII; HttpClient
    // refuses others in a header.
    static String lastId = "";
    static long retry = 1000;   // milliseconds before that; the server changes it

    // Reads a stream by the rules of the HTML Standard, 9.2.6, and prints its events. A Reader joins
    // characters that the network has cut.
    static void read(Reader stream) throws IOException {
        String event = "", id = lastId;
        List<String> data = new ArrayList<>();
        StringBuilder line = new StringBuilder();
        boolean first = true, afterCr = false;
        for (int c; (c = stream.read()) >= 0; first = false) {
            if (first && c == '\ufeff')
                continue;  // a byte order mark
            boolean skip = afterCr && c == '\n';  // the second half of a CRLF
            afterCr = c == '\r';
            if (skip)
                continue;
            if (c != '\r' && c != '\n') {
                line.append((char) c);
                continue;
            }
            String[] field = line.toString().split(":", 2);  // a comment has an empty name
            String value = field.length < 2 ? "" : field[1].replaceFirst("^ ", "");
            if (line.length() == 0) {
                lastId = id;  // only now: an event that is cut off must be sent again
                if (!data.isEmpty())
                    print(event.isEmpty() ? "message" : event, id, String.join("\n", data));
                event = "";
                data.clear();
            } else if (field[0].equals("event")) {
                event = value;
            } else if (field[0].equals("data")) {
                data.add(value);
            } else if (field[0].equals("id") && value.indexOf('\0') < 0) {
                id = value;
            } else if (field[0].equals("retry") && value.matches("[0-9]{1,9}")) {
                retry = Long.parseLong(value);
            }
            line.setLength(0);
        }
    }

    // Java has no JSON in its library, so this program writes a string, and finds one, by hand.
    static void print(String event, String id, String data) {
        System.out.println("{\"event\":" + quote(event) + ",\"id\":" + quote(id) + ",\"data\":"
            + quote(data) + "}");
    }

    static String quote(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            boolean plain = c >= ' ' && c <= '~' && c != '"' && c != '\\';
            out.append(plain ? String.valueOf(c) : String.format("\\u%04x", (int) c));
        }
        return out.append('"').toString();
    }

    static String find(String json, String name) {
        Matcher match = Pattern.compile('"' + name + "\":\"((?:[^\"\\\\]|\\\\.)*)\"").matcher(json);
        if (!match.find())
            return "the answer is not from ssechat";
        return match.group(1).replaceAll("\\\\(.)", "$1");
    }

    // Ends the program with what the server says about an error: the `detail` of its problem+json.
    static void fail(int status, String body) {
        System.err.println(status + " " + find(body, "detail"));
        System.exit(1);
    }

    // Tells whether a later attempt can succeed. Proxies also send 408 and 429.
    static boolean isTemporary(int status) {
        return status >= 500 || status == 408 || status == 429;
    }

    // Prints the events of a stream. If the connection is lost, it resumes where it stopped.
    static void follow(String url) throws InterruptedException {
        for (long wait = 0;; Thread.sleep(Math.max(retry, wait))) {
            wait = 0;
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url))
                .header("Accept", "text/event-stream");
            if (!lastId.isEmpty())
                request.header("Last-Event-ID", lastId);
            var coming = http.sendAsync(request.build(), HttpResponse.BodyHandlers.ofInputStream());
            try {
                // Not HttpRequest's timeout: later versions of Java apply it to the whole answer.
                var answer = coming.get(45, TimeUnit.SECONDS);
                int status = answer.statusCode();
                if (status == 204)
                    System.exit(0);  // there is nothing more to come
                String type = answer.headers().firstValue("Content-Type").orElse("");
                String after = answer.headers().firstValue("Retry-After").orElse("");
                wait = after.matches("[0-9]{1,9}") ? Long.parseLong(after) * 1000 : 0;
                boolean isStream = type.startsWith("text/event-stream");
                try (var body = answer.body()) {
                    if (!isTemporary(status) && !(status == 200 && isStream))
                        fail(status, new String(body.readAllBytes(), StandardCharsets.UTF_8));
                    if (status == 200)
                        watch(body);
                }
            } catch (IOException | ExecutionException | TimeoutException lost) {
                coming.cancel(true);
                System.err.println("reconnecting: " + lost.getMessage());
            }
        }
    }

    // Reads a body, but closes it when it is silent for too long. The server sends a heartbeat every
    // 15 seconds: a connection that is silent for 45 is dead.
    static void watch(InputStream body) throws IOException {
        Timer timer = new Timer(true);
        long[] last = {System.nanoTime()};
        timer.schedule(new TimerTask() {
            public void run() {
                if (System.nanoTime() - last[0] > 45_000_000_000L)
                    try { body.close(); } catch (IOException ignored) { }
            }
        }, 1000, 1000);
        try {
            read(new InputStreamReader(new FilterInputStream(body) {
                public int read(byte[] to, int at, int length) throws IOException {
                    int count = super.read(to, at, length);
                    last[0] = System.nanoTime();
                    return count;
                }
            }, StandardCharsets.UTF_8));
        } finally {
            timer.cancel();
        }
    }

    // Publishes a message. After a lost connection, repeat this with the same key.
    static void post(String url, byte[] body, String key) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url))
            .header("Content-Type", "application/json").timeout(Duration.ofSeconds(30))
            .POST(HttpRequest.BodyPublishers.ofByteArray(body));
        if (key != null)
            request.header("Idempotency-Key", key);
        HttpResponse<String> answer = http.send(request.build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() >= 300)
            fail(answer.statusCode(), answer.body());
        System.out.println(answer.statusCode() + " " + find(answer.body(), "id"));
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("follow"))
            follow(arguments[1]);
        else
            post(arguments[1], System.in.readAllBytes(), arguments.length > 2 ? arguments[2] : null);
    }
}
