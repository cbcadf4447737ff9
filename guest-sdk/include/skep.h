/* What a guest of skep may call, for C and C++. docs/guest-interface.md has the whole story. */
#ifndef SKEP_H
#define SKEP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKEP_IMPORT(name) \
    __attribute__((import_module("skep"), import_name(name))) extern

/* Answers of all functions but skep_cancelled, skep_restored, skep_receive and skep_event. */
enum skep_answer {
    SKEP_DONE = 0,
    SKEP_OUT_OF_BOUNDS = 1,
    SKEP_TOO_LARGE = 2,
    SKEP_NOT_UTF8 = 3,
    SKEP_NOT_GRANTED = 4,
    SKEP_NO_CALL = 5,
    SKEP_NOT_SUBSCRIBED = 6,
    SKEP_VIRTUAL_CLOCK = 7,
    SKEP_TOO_MANY = 8
};

/* Answers of skep_event that are no lengths. */
enum skep_no_event {
    SKEP_NOT_YET = 0,
    SKEP_NOT_IN_MEMORY = -1,
    SKEP_ENDED = -2,
    SKEP_NO_FRAMEWORK = -3
};

/* Steps done, steps in all (0: not known), and a few words in UTF-8, 256 bytes at most. */
SKEP_IMPORT("progress")
int32_t skep_progress(int64_t done, int64_t total, const char *text, uint32_t length);

/* Answers of skep_receive that are no lengths. */
enum skep_no_message {
    SKEP_MESSAGE_NOT_IN_MEMORY = -1,
    SKEP_NO_MESSAGE = -2,
    SKEP_NO_MESSAGES_HERE = -3
};

/* The value that the framework gets with the task's end, 256 KiB at most. The last counts. */
SKEP_IMPORT("result")
int32_t skep_result(const void *bytes, uint32_t length);

/* A sign of life, for tasks with a heartbeat. */
SKEP_IMPORT("alive")
int32_t skep_alive(void);

/* 1 if the task was told to end, or is within so many milliseconds; else 0. */
SKEP_IMPORT("cancelled")
int32_t skep_cancelled(int64_t wait_millis);

/* Leaves the state to go on from, 64 KiB at most. */
SKEP_IMPORT("checkpoint")
int32_t skep_checkpoint(const void *bytes, uint32_t length);

/* The length of that state, copied if it fits; 0 if there is none. */
SKEP_IMPORT("restored")
int32_t skep_restored(void *bytes, uint32_t capacity);

/* Sends the framework a message, 64 KiB at most. */
SKEP_IMPORT("send")
int32_t skep_send(const void *message, uint32_t length);

/* The length of the framework's next message, copied if it fits; or enum skep_no_message. */
SKEP_IMPORT("receive")
int32_t skep_receive(void *message, uint32_t capacity, int64_t wait_millis);

/* Says a Call of framework.proto to the master. */
SKEP_IMPORT("call")
int32_t skep_call(const void *call, uint32_t length);

/* The length of the next Event of framework.proto, copied if it fits; or enum skep_no_event. */
SKEP_IMPORT("event")
int32_t skep_event(void *event, uint32_t capacity, int64_t wait_millis);

#ifdef __cplusplus
}
#endif

#endif
