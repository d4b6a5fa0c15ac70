#!/usr/bin/perl
# A client of ssechat with LWP.
#
#     perl client.pl follow 'http://127.0.0.1:8080/events?room=lobby'
#     echo '{"message":"hello"}' | perl client.pl post http://127.0.0.1:8080/messages KEY
#
# For https, LWP needs the module LWP::Protocol::https (Debian's package liblwp-protocol-https-perl).

use strict;
use warnings;
use Encode qw(decode);
use JSON::PP;
use List::Util qw(max);
use LWP::UserAgent;
use Time::HiRes qw(sleep);

$| = 1;
my $json = JSON::PP->new->ascii;

# What a client knows from one connection to the next.
my $last_id = '';    # send it as Last-Event-ID when you reconnect
my $retry = 1;       # wait so many seconds before that; the server changes it

# Returns a function that takes the pieces of one connection, wherever the network has cut them, and
# calls $on_event for each event, by the rules of the HTML Standard, 9.2.6.
sub reader {
    my ($on_event) = @_;
    my ($rest, $first, $after_cr) = ('', 1, 0);
    my ($event, $id, @data) = ('', $last_id);
    return sub {
        my ($piece) = @_;
        return if $piece eq '';
        $piece =~ s/^\n// if $after_cr;    # the second half of a CRLF
        $after_cr = $piece =~ /\r\z/;
        my @lines = split /\r\n|\r|\n/, $rest . $piece, -1;
        $rest = pop(@lines) // '';
        for my $line (@lines) {
            $line =~ s/^\xEF\xBB\xBF// if $first;    # a byte order mark
            $first = 0;
            if ($line eq '') {
                $last_id = $id;    # only now: an event that is cut off must be sent again
                $on_event->($event eq '' ? 'message' : $event, $id, join "\n", @data) if @data;
                ($event, @data) = ('');
                next;
            }
            my ($name, $value) = split /:/, $line, 2;    # a comment has an empty name
            $value = '' unless defined $value;
            $value =~ s/^ //;
            if ($name eq 'event') { $event = $value }
            elsif ($name eq 'data') { push @data, $value }
            elsif ($name eq 'id') { $id = $value if index($value, "\0") < 0 }
            elsif ($name eq 'retry') { $retry = $value / 1000 if $value =~ /^[0-9]+\z/ }
        }
    };
}

# Ends the program with what the server says about an error: the `detail` of its problem+json.
sub fail {
    my ($answer) = @_;
    my $problem = eval { decode_json($answer->content) };
    print STDERR $answer->code, ' ', $problem ? $problem->{detail} : $answer->message, "\n";
    exit 1;
}

# Prints the events of a stream. If the connection is lost, it resumes where it stopped.
sub follow {
    my ($url) = @_;
    # The server sends a heartbeat every 15 seconds: a connection that is silent for 45 is dead.
    my $agent = LWP::UserAgent->new(timeout => 45);
    while (1) {
        my $read = reader(sub {
            my %event;
            @event{qw(event id data)} = map { decode('UTF-8', $_) } @_;
            print $json->encode(\%event), "\n";
        });
        my $body = '';
        my $answer = $agent->get($url,
            'Accept' => 'text/event-stream',
            $last_id eq '' ? () : ('Last-Event-ID' => $last_id),
            ':read_size_hint' => 4096,
            ':content_cb' => sub {
                my ($piece, $answer) = @_;
                if (is_stream($answer)) { $read->($piece) }
                else { $body .= $piece }
            });
        exit 0 if $answer->code == 204;    # there is nothing more to come
        $answer->content($body) if $body ne '';
        fail($answer) unless is_temporary($answer) || is_stream($answer);
        print STDERR 'reconnecting: ', $answer->header('X-Died') // $answer->message, "\n";
        my ($seconds) = ($answer->header('Retry-After') // '') =~ /^([0-9]+)\z/;
        sleep max($retry, $seconds // 0);
    }
}

# Tells whether a later attempt can succeed. Proxies also send 408 and 429. A 501 of LWP itself says
# that it does not know the URL's scheme: https if LWP::Protocol::https is missing.
sub is_temporary {
    my ($answer) = @_;
    return 0 if $answer->code == 501 && $answer->header('Client-Warning');
    return $answer->code >= 500 || $answer->code == 408 || $answer->code == 429;
}

sub is_stream {
    my ($answer) = @_;
    return $answer->code == 200 && ($answer->content_type // '') eq 'text/event-stream';
}

# Publishes a message. After a lost connection, repeat this with the same key.
sub post {
    my ($url, $body, $key) = @_;
    my $answer = LWP::UserAgent->new(timeout => 30)->post($url,
        'Content-Type' => 'application/json',
        defined $key ? ('Idempotency-Key' => $key) : (),
        'Content' => $body);
    fail($answer) unless $answer->is_success;
    print $answer->code, ' ', decode_json($answer->content)->{id}, "\n";
}

my ($command, $url, $key) = @ARGV;
if ($command eq 'follow') { follow($url) }
else { local $/; post($url, scalar <STDIN>, $key) }
