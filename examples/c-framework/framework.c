/* A framework in C with skep.h alone: runs the module that was bundled with it, on three one-cpu
 * tasks, says what becomes of them, and goes.
 *
 *   clang --target=wasm32-wasi -Os -s -I ../../guest-sdk/include framework.c -o c-framework.wasm
 *   skep framework run --file ../hello/hello.wasm c-framework.wasm
 *
 * Protobuf is little more than numbers and lengths: what is needed of it is written here. */
#include <skep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TASKS = 3, NUMBER = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* Writing ------------------------------------------------------------------------------------ */

struct out {
    size_t length;
    unsigned char bytes[4096];
};

static void put(struct out *out, const void *bytes, size_t length) {
    if (length > sizeof out->bytes - out->length) {
        fputs("a message is too long\n", stderr);
        exit(2);
    }
    memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
}

static void put_varint(struct out *out, uint64_t value) {
    do {
        unsigned char byte = (unsigned char)(value & 0x7f) | (value > 0x7f ? 0x80 : 0);
        put(out, &byte, 1);
        value >>= 7;
    } while (value != 0);
}

static void put_number(struct out *out, unsigned field, uint64_t value) {
    put_varint(out, field << 3 | NUMBER);
    put_varint(out, value);
}

static void put_bytes(struct out *out, unsigned field, const void *bytes, size_t length) {
    put_varint(out, field << 3 | BYTES);
    put_varint(out, length);
    put(out, bytes, length);
}

static void put_text(struct out *out, unsigned field, const char *text) {
    put_bytes(out, field, text, strlen(text));
}

static void put_message(struct out *out, unsigned field, const struct out *message) {
    put_bytes(out, field, message->bytes, message->length);
}

/* Reading ------------------------------------------------------------------------------------ */

struct in {
    const unsigned char *bytes;
    size_t length;
};

static uint64_t take_varint(struct in *in) {
    uint64_t value = 0;
    for (unsigned shift = 0; in->length > 0 && shift < 64; shift += 7) {
        unsigned char byte = *in->bytes++;
        in->length--;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    return value;
}

/* The next field: its number, and its bytes or its value. 0: there is none any more. */
static unsigned take_field(struct in *in, struct in *bytes, uint64_t *value) {
    if (in->length == 0)
        return 0;
    uint64_t tag = take_varint(in);
    size_t length = 0;
    switch (tag & 7) {
    case NUMBER: *value = take_varint(in); break;
    case FIXED64: length = 8; break;
    case FIXED32: length = 4; break;
    case BYTES: length = (size_t)take_varint(in); break;
    default: return 0;
    }
    if (length > in->length)
        return 0;
    *bytes = (struct in){in->bytes, length};
    in->bytes += length;
    in->length -= length;
    return (unsigned)(tag >> 3);
}

/* The first field of that number within a message. */
static struct in find(struct in message, unsigned field) {
    struct in bytes = {NULL, 0};
    uint64_t value;
    for (unsigned at; (at = take_field(&message, &bytes, &value)) != 0;)
        if (at == field)
            return bytes;
    return (struct in){NULL, 0};
}

/* The framework ------------------------------------------------------------------------------ */

static unsigned char module[32];
static int launched, ended;

static void say(unsigned kind, const struct out *what) {
    static struct out call;
    call.length = 0;
    put_message(&call, kind, what);
    int32_t answer = skep_call(call.bytes, (uint32_t)call.length);
    if (answer != SKEP_DONE && answer != SKEP_NOT_SUBSCRIBED) {
        fprintf(stderr, "the host answered %d: start this with skep framework run\n", (int)answer);
        exit(1);
    }
}

static void subscribe(uint64_t connection) {
    static uint64_t run;
    if (run == 0)
        getentropy(&run, sizeof run);
    const char *name = getenv("FRAMEWORK_NAME"), *role = getenv("FRAMEWORK_ROLE");
    struct out info = {0}, subscribe = {0};
    put_text(&info, 1, name ? name : "c-framework");
    if (role)
        put_text(&info, 2, role);
    put_message(&subscribe, 2, &info);
    put_varint(&subscribe, 3 << 3 | FIXED64);
    put(&subscribe, &run, sizeof run);
    put_number(&subscribe, 4, connection);
    say(1, &subscribe);
}

static void put_amount(struct out *resources, const char *kind, uint64_t millis) {
    struct out entry = {0};
    put_text(&entry, 1, kind);
    put_number(&entry, 2, millis);
    put_message(resources, 1, &entry);
}

/* How much of a kind of resource an offer holds, in thousandths. */
static uint64_t amount(struct in offer, const char *kind) {
    struct in resources = find(offer, 5), entry;
    uint64_t value;
    while (take_field(&resources, &entry, &value) == 1) {
        struct in name = find(entry, 1), ignored;
        uint64_t millis = 0;
        while (take_field(&entry, &ignored, &value) != 0)
            millis = value;
        if (name.length == strlen(kind) && memcmp(name.bytes, kind, name.length) == 0)
            return millis;
    }
    return 0;
}

/* What is not used of an offer goes back to the cluster. */
static void offered(struct in offer) {
    struct in id = find(offer, 1);
    struct out accept = {0};
    put_bytes(&accept, 1, id.bytes, id.length);
    if (launched < TASKS && amount(offer, "cpus") >= 1000 && amount(offer, "mem") >= 64000) {
        static const char *const requires[] = {"limit.cpus",  "limit.memory", "limit.output",
                                               "limit.stack", "limit.disk",   "limit.handles"};
        char task[32];
        snprintf(task, sizeof task, "c-%d", ++launched);
        struct out resources = {0}, spec = {0}, launch_task = {0}, launch = {0}, operation = {0};
        put_text(&spec, 1, task);
        put_number(&spec, 2, 1);
        for (size_t i = 0; i < sizeof requires / sizeof *requires; i++)
            put_text(&spec, 3, requires[i]);
        put_bytes(&spec, 4, module, sizeof module);
        put_text(&spec, 5, "hello");
        put_amount(&resources, "cpus", 1000);
        put_amount(&resources, "mem", 64000);
        put_message(&spec, 8, &resources);
        put_message(&launch_task, 1, &spec);
        put_message(&launch, 1, &launch_task);
        put_message(&operation, 1, &launch);
        put_message(&accept, 2, &operation);
    }
    say(2, &accept);
}

static void updated(struct in update) {
    struct in key = find(update, 1), task = find(key, 2), state = find(update, 4), ignored;
    uint64_t seq = 0, value = 0;
    unsigned kind = take_field(&state, &ignored, &value);
    struct in fields = update;
    for (unsigned at; (at = take_field(&fields, &ignored, &value)) != 0;)
        if (at == 2)
            seq = value;
    printf("%.*s %s\n", (int)task.length, (const char *)task.bytes,
           kind == 5 ? "ended" : kind == 3 ? "runs" : "waits");
    ended += kind == 5;
    if (seq > 0) {
        struct out acknowledgement = {0}, acknowledge = {0};
        put_bytes(&acknowledgement, 1, key.bytes, key.length);
        put_number(&acknowledgement, 2, seq);
        put_message(&acknowledge, 1, &acknowledgement);
        say(8, &acknowledge);
    }
}

static void heard(struct in event) {
    struct in what, part;
    uint64_t value;
    unsigned kind = take_field(&event, &what, &value);
    while (take_field(&what, &part, &value) == 1) {
        if (kind == 2)
            offered(part);
        else if (kind == 6)
            updated(part);
        else
            break;
    }
}

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

int main(void) {
    static unsigned char buffer[1 << 20];
    const char *bundle = getenv("FRAMEWORK_BUNDLE");
    if (!bundle || strncmp(bundle, "sha256:", 7) != 0 || strlen(bundle) < 71) {
        fputs("no module was bundled: skep framework run --file MODULE c-framework.wasm\n", stderr);
        return 1;
    }
    for (int i = 0; i < 32; i++)
        module[i] = (unsigned char)(digit(bundle[7 + 2 * i]) << 4 | digit(bundle[8 + 2 * i]));
    uint64_t connection = 1;
    subscribe(connection);
    while (ended < TASKS) {
        int32_t length = skep_event(buffer, sizeof buffer, 60000);
        if (skep_cancelled(0) == 1)
            return 0;
        if (length == SKEP_ENDED)
            subscribe(++connection);
        else if (length > 0 && (size_t)length <= sizeof buffer)
            heard((struct in){buffer, (size_t)length});
        else if (length < 0)
            return 1;
    }
    struct out teardown = {0};
    say(10, &teardown);
    return 0;
}
