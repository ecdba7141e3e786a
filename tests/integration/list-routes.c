/*
 * The route table that is linked into cad, a row a line: METHOD PATTERN LISTENERS ("unix,tls,tcp"). For test_matrix.py, so that
 * a new row that nobody has thought about fails there.
 */
#include <stdio.h>

#include "daemon/http/exchange.h"
#include "daemon/routes.h"

static const struct {
        unsigned listener;
        const char *name;
} names[] = {
        { HTTP_ON(HTTP_UNIX), "unix" },
        { HTTP_ON(HTTP_TLS), "tls" },
        { HTTP_ON(HTTP_TCP), "tcp" },
};

int main(void) {
        for (size_t i = 0; i < cad_routes_count; i++) {
                unsigned listeners = cad_routes[i].listeners ? cad_routes[i].listeners
                                                             : ROUTE_LISTENERS_DEFAULT;
                const char *gap = "";

                (void) printf("%s %s ", cad_routes[i].method, cad_routes[i].pattern);
                for (size_t n = 0; n < ARRAY_SIZE(names); n++)
                        if (listeners & names[n].listener) {
                                (void) printf("%s%s", gap, names[n].name);
                                gap = ",";
                        }
                (void) printf("\n");
        }
        return 0;
}
