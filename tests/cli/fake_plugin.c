/* A PJRT plugin that is another one, but for calls that fail as the environment says: to see what natgrad makes of errors
 * that only a GPU gives. FAKE_REAL is the other plugin's file.
 *
 *   FAKE_COMPILE  the code that every compilation fails with
 *   FAKE_EXECUTE  the code that executions fail with, after the first FAKE_AFTER ones
 *   FAKE_STALE    the code that every execution of a deserialized executable fails with
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Places in the table of functions, after its size, its extension and its version (pjrt_c_api.h). */
enum { ERROR_DESTROY = 0, ERROR_MESSAGE = 1, ERROR_CODE = 2, COMPILE = 20, EXECUTE = 55, DESERIALIZE = 56 };
enum { HEADER = 40 };

typedef void *(*function)(void *);
typedef struct { int code; char message[200]; } fake_error;
typedef struct { size_t size; void *extension; void *error; const char *message; size_t length; } message_args;
typedef struct { size_t size; void *extension; void *error; int code; } code_args;
typedef struct { size_t size; void *extension; void *client; const char *bytes; size_t length; void *executable; } deserialize_args;
typedef struct { size_t size; void *extension; void *executable; } execute_args;

static char table[4096];
static fake_error errors[64];
static int made;
static void *stale[256];
static int stales, executions;
static function real_destroy, real_message, real_code, real_compile, real_execute, real_deserialize;

static int told(const char *name) { const char *value = getenv(name); return value ? atoi(value) : 0; }

static void *fail(int code, const char *what) {
  fake_error *error = &errors[made++ % 64];
  error->code = code;
  snprintf(error->message, sizeof error->message, "%s, as the fake plugin was told", what);
  return error;
}

static int is_fake(void *error) { return (char *)error >= (char *)errors && (char *)error < (char *)(errors + 64); }

static void *destroy(void *args) { return is_fake(((message_args *)args)->error) ? NULL : real_destroy(args); }

static void *message(void *args) {
  message_args *it = args;
  if (!is_fake(it->error)) return real_message(args);
  it->message = ((fake_error *)it->error)->message;
  it->length = strlen(it->message);
  return NULL;
}

static void *code(void *args) {
  code_args *it = args;
  if (!is_fake(it->error)) return real_code(args);
  it->code = ((fake_error *)it->error)->code;
  return NULL;
}

static void *compile(void *args) {
  return told("FAKE_COMPILE") ? fail(told("FAKE_COMPILE"), "compiling fails") : real_compile(args);
}

static void *deserialize(void *args) {
  void *error = real_deserialize(args);
  if (!error && stales < 256) stale[stales++] = ((deserialize_args *)args)->executable;
  return error;
}

static void *execute(void *args) {
  void *executable = ((execute_args *)args)->executable;
  for (int at = 0; told("FAKE_STALE") && at < stales; at++)
    if (stale[at] == executable) return fail(told("FAKE_STALE"), "the kernel image is invalid");
  if (told("FAKE_EXECUTE") && executions++ >= told("FAKE_AFTER")) return fail(told("FAKE_EXECUTE"), "executing fails");
  return real_execute(args);
}

static function replace(int place, function by) {
  function *at = (function *)(table + HEADER) + place, before = *at;
  *at = by;
  return before;
}

const void *GetPjrtApi(void) {
  if (real_destroy) return table;
  void *library = dlopen(getenv("FAKE_REAL"), RTLD_NOW | RTLD_LOCAL);
  if (!library) { fprintf(stderr, "%s\n", dlerror()); return NULL; }
  const void *(*get)(void) = (const void *(*)(void))dlsym(library, "GetPjrtApi");
  const void *real = get();
  size_t size = *(const size_t *)real;
  memcpy(table, real, size < sizeof table ? size : sizeof table);
  real_destroy = replace(ERROR_DESTROY, destroy);
  real_message = replace(ERROR_MESSAGE, message);
  real_code = replace(ERROR_CODE, code);
  real_compile = replace(COMPILE, compile);
  real_execute = replace(EXECUTE, execute);
  real_deserialize = replace(DESERIALIZE, deserialize);
  return table;
}
